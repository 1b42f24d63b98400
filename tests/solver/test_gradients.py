"""Gradients in one buffer: in which order they lie, when they are averaged, and that layers find them there."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.net.net import Net
from segcaffe.parallel import Alone, Wait
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.solver.gradients import Gradients

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 6 dim: 6 } shape { dim: 2 dim: 4 } data_filler { type: "gaussian" } } }
layer { name: "frozen" type: "Convolution" bottom: "data" top: "frozen" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "conv" type: "Convolution" bottom: "frozen" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { use_global_stats: %s } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "one" type: "Convolution" bottom: "conv" top: "one" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "two" type: "Convolution" bottom: "one" top: "two" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "two" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""


class Twice(Alone):
    """Ranks whose mean is twice what this one has; notes what was averaged, and when."""

    def __init__(self) -> None:
        super().__init__(0, 1)
        self.layer = -1
        self.begun: list[tuple[int, int]] = []

    def start_average_(self, buffer: Any) -> Wait:
        self.begun.append((self.layer, buffer.size))
        buffer *= 2
        return lambda: None


def run(net: Net, gradients: Gradients | None = None, ranks: Twice | None = None) -> dict[str, list[Any]]:
    net.clear_param_diffs()
    net.forward()

    def done(layer: int) -> None:
        assert ranks is not None
        assert gradients is not None
        ranks.layer = layer
        gradients.done(layer)

    if gradients is not None:
        gradients.begin()
    net.backward_from_to(len(net.layer_list) - 1, 0, done if gradients is not None else None)
    if gradients is not None:
        gradients.finish()
    return {name: [blob.diff.copy() for blob in blobs] for name, blobs in net.params.items()}


def nets(stored: str) -> tuple[Net, Net]:
    made = []
    for _ in range(2):
        device.set_random_seed(4)
        made.append(Net(parse(NET % stored, caffe_pb2.NetParameter()), phase=caffe_pb2.TRAIN))
        device.set_random_seed(4)
        made[-1].params["norm"][1].data[...] = 1
        made[-1].params["norm"][2].data[...] = 1
    return made[0], made[1]


def test_each_gradient_is_averaged_once_when_it_is_complete() -> None:
    for stored in ("false", "true"):
        plain, moved = nets(stored)
        ranks = Twice()
        gradients = Gradients(moved, ranks, bucket=1)
        for _ in range(2):
            ranks.begun.clear()
            device.set_random_seed(5)
            expected = run(plain)
            device.set_random_seed(5)
            found = run(moved, gradients, ranks)
            for name, arrays in expected.items():
                for one, other in zip(arrays, found[name], strict=True):
                    np.testing.assert_array_equal(2 * one, other)
        index = {name: i for i, name in enumerate(moved.layer_names)}
        begun = [at for at, _ in ranks.begun]
        if stored == "false":
            # The running statistics come first.
            assert ranks.begun[0][1] == 9
            begun = begun[1:]
        # Shared weights are complete after the first layer that has them.
        expected_at = [index[name] for name in ("ip", "ip", "one", "one", "scale", "scale", "conv")]
        assert begun == expected_at
        assert gradients.buffer.size == sum(
            blob.count for blob, lr in zip(moved.learnable_params, moved.params_lr, strict=True) if lr
        )


def test_buckets_join_neighbours() -> None:
    net = nets("false")[0]
    ranks = Twice()
    gradients = Gradients(net, ranks, bucket=4 * 160)
    assert [bucket.stop - bucket.start for bucket in gradients.buckets] == [256, 160, 108]
    run(net, gradients, ranks)
    assert [size for _, size in ranks.begun] == [9, 256, 160, 108]
    assert ranks.begun[1][0] == net.layer_names.index("ip")


def test_zeros_that_are_put_off_are_there_when_they_are_averaged() -> None:
    net = nets("false")[0]
    ranks = Twice()
    gradients = Gradients(net, ranks)
    gradients.buffer.array()[...] = 3
    net.clear_param_diffs()
    gradients.finish()
    assert not gradients.buffer.array().any()
    for blob in net.learnable_params:
        blob.diff[...] = 4
        blob.clear_grad()
        assert not blob.diff.any()
