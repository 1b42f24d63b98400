"""Nets that several tests here use: a small LeNet, written with NetSpec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segcaffe as caffe
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.pycaffe.net_spec import layers as L  # noqa: N812
from segcaffe.pycaffe.net_spec import params as P  # noqa: N812

FILLER = {"type": "xavier"}


def lenet(batch: int = 4, loss: bool = False) -> NetParameter:
    """A LeNet of 8, 16 maps and 50 units on 28 x 28 images; with a loss it has a second input, "label"."""
    n: Any = caffe.NetSpec()
    shapes = [{"dim": [batch, 1, 28, 28]}, {"dim": [batch]}][: 1 + loss]
    if loss:
        n.data, n.label = L.Input(input_param={"shape": shapes}, ntop=2)
    else:
        n.data = L.Input(input_param={"shape": shapes})
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=8, weight_filler=FILLER)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=16, weight_filler=FILLER)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool2, num_output=50, weight_filler=FILLER)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    if loss:
        n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=FILLER)
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
    else:
        n.ip2 = L.InnerProduct(n.relu1, num_output=10, weight_filler=FILLER)
        n.prob = L.Softmax(n.ip2)
    net = n.to_proto()
    net.force_backward = not loss
    return net


def write_lenet(folder: Path) -> None:
    """Write lenet.prototxt and lenet.caffemodel, and a solver with train and test nets."""
    (folder / "lenet.prototxt").write_text(str(lenet()))
    caffe.Net(lenet(), caffe.TEST).save(folder / "lenet.caffemodel")
    (folder / "lenet_train.prototxt").write_text(str(lenet(16, loss=True)))
    (folder / "lenet_solver.prototxt").write_text(
        'net: "lenet_train.prototxt" test_iter: 1 test_interval: 1000 test_initialization: false base_lr: 0.02 '
        'momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75 max_iter: 100 '
        'snapshot_prefix: "lenet" random_seed: 1'
    )
