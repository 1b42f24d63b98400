"""The nets that are measured on a GPU: those of `benchmarks.nets`, larger, and training by the configurations."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import nets
from segcaffe.proto import caffe_pb2


@dataclass(frozen=True)
class NetRow:
    """A net of `benchmarks.nets` at its size for a GPU: how many times as fast as PyTorch, in how much memory."""

    row: nets.Row
    size: int
    wanted: float
    megabytes: float | None = None


def _resnet_train(size: int) -> caffe_pb2.NetParameter:
    return nets._config("resnet", "train", size)


def _vgg16_plain(size: int) -> caffe_pb2.NetParameter:
    """The dilated VGG-16 in training; labels at an eighth of the resolution."""
    param = nets._file("vgg16_dilated", SIZE=size)
    small = (size - 1) // 8 + 1
    del param.layer[-1]
    param.layer[0].top.append("label")
    param.layer[0].input_param.shape.add().dim.extend((1, 1, small, small))
    param.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["fc8", "label"], top=["loss"])
    return param


NETS = {
    "crf forward": NetRow(nets.ROWS["crf forward"], 257, 30, 300),
    "crf forward and backward": NetRow(nets.ROWS["crf both"], 257, 20, 300),
    "config_resnet test": NetRow(nets.ROWS["resnet deploy"], 513, 1.3),
    "config_vgg16 test": NetRow(nets.ROWS["vgg16 deploy"], 321, 1.3),
    "config_resnet iteration": NetRow(nets.Row(_resnet_train, 321, 65, "iteration", 1), 321, 1.2, 12000),
    "resnet101 iteration": NetRow(nets.ROWS["resnet101 iteration"], 321, 1.0),
    "vgg16 iteration": NetRow(nets.Row(_vgg16_plain, 321, 65, "iteration", 1), 321, 1.1),
}
