"""Crop whose reference is made by layers that learn, as in FCN-8s and U-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TRAIN, NetParameter
from segcaffe.proto.text import parse

NET = """name: "tiny_unet"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "enc" type: "Convolution" bottom: "data" top: "enc" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "enc" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "mid" type: "Convolution" bottom: "pool" top: "mid" convolution_param { num_output: 2 kernel_size: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "mid" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layer { name: "crop" type: "Crop" bottom: "enc" bottom: "up" top: "skip" crop_param { axis: 2 offset: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "up" bottom: "skip" top: "sum" }
layer { name: "score" type: "Convolution" bottom: "sum" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
CAFFE = {"enc": (9.4754, 1.4376), "mid": (13.1062, 0.6603), "up": (6.9559, 0.2909), "score": (13.5647, 0.4258)}
"""Sum of the absolute gradients of each parameter, measured with Caffe 1.0 at a loss of 4.817897."""


def _trained_once(text: str = NET, **options: Any) -> Net:
    net = Net(parse(text, NetParameter()), TRAIN, **options)
    rng = np.random.RandomState(0)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.randn(*blob.data.shape)
    net.blobs["data"].data[...] = rng.randn(1, 1, 12, 12)
    net.blobs["label"].data[...] = rng.randint(0, 2, (1, 1, 8, 8))
    net.forward()
    net.backward()
    return net


def _sums(net: Net) -> dict[str, tuple[float, ...]]:
    return {name: tuple(float(np.abs(blob.diff).sum()) for blob in blobs) for name, blobs in net.params.items()}


@pytest.mark.parametrize("options", [{}, {"share_memory": True}, {"recompute": "auto"}, {"fuse": False}])
def test_gradients_are_those_of_caffe(options: dict[str, Any]) -> None:
    net = _trained_once(**options)
    assert net.loss == pytest.approx(4.817897, abs=1e-5)
    for name, sums in _sums(net).items():
        assert sums == pytest.approx(CAFFE[name], abs=2e-4), name


@pytest.mark.parametrize("head", ["force_backward: true ", ""])
def test_propagate_down_true_and_force_backward_change_nothing(head: str) -> None:
    crop = 'top: "skip"'
    text = head + NET.replace(crop, crop + ("" if head else " propagate_down: true propagate_down: true"))
    for name, sums in _sums(_trained_once(text)).items():
        assert sums == pytest.approx(CAFFE[name], abs=2e-4), name


def test_a_reference_that_nothing_else_reads_learns_nothing() -> None:
    alone = NET.replace('bottom: "up" bottom: "skip" top: "sum"', 'bottom: "skip" top: "sum"').replace(
        'type: "Eltwise"', 'type: "Power"'
    )
    net = _trained_once(alone)
    sums = _sums(net)
    assert sums["up"] == sums["mid"] == (0.0, 0.0)
    assert min(sums["enc"]) > 0
