"""Gradients that are zero without anybody having written the zeros."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse


def filled() -> Blob:
    blob = Blob((2, 3))
    blob.diff[...] = 7
    return blob


def test_zero_for_whoever_looks() -> None:
    for look in ("diff", "grad"):
        blob = filled()
        blob.clear_grad()
        assert (getattr(blob, look) == 0).all()
        blob.diff[...] = 5
        assert (getattr(blob, look) == 5).all()


def test_who_adds_is_told_once() -> None:
    blob = filled()
    assert blob.grad_to_add_to()[1] == 1
    blob.clear_grad()
    array, beta = blob.grad_to_add_to()
    assert beta == 0
    array[...] = 3
    assert blob.grad_to_add_to()[1] == 1
    assert (blob.diff == 3).all()


def test_blobs_that_share_memory() -> None:
    blob, other = filled(), Blob((6,))
    other.share_diff(blob)
    blob.clear_grad()
    assert (other.diff == 0).all()
    other.clear_grad()
    assert blob.grad_to_add_to()[1] == 0


MAKERS = {
    "few pixels": 'type: "Convolution" convolution_param { num_output: 64 kernel_size: 3 pad: 1 }',
    "group": 'type: "Convolution" convolution_param { num_output: 8 group: 4 kernel_size: 1 }',
    "product": 'type: "InnerProduct" inner_product_param { num_output: 5 }',
    "transposed": 'type: "InnerProduct" inner_product_param { num_output: 5 transpose: true }',
    "upwards": 'type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 2 }',
}


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_layers_start_from_zero_and_add(name: str, batch: int) -> None:
    shape = f"shape {{ dim: {batch} dim: 64 dim: 5 dim: 7 }}"
    text = f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ {shape} }} }}
        layer {{ name: "y" bottom: "x" top: "y" {MAKERS[name]} }}"""
    net = Net(parse("force_backward: true " + text, caffe_pb2.NetParameter()), caffe_pb2.TRAIN)
    rng = np.random.default_rng(0)
    net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    net.blobs["y"].diff[...] = rng.standard_normal(net.blobs["y"].shape)
    found = []
    for clear in ("eager", "late"):
        for blob in net.params["y"]:
            blob.diff[...] = np.nan
            if clear == "late":
                blob.clear_grad()
            else:
                blob.diff[...] = 0
        for _ in range(2):
            net.forward_from_to(0, 1)
            net.backward_from_to(1, 0)
        found.append([blob.diff.copy() for blob in net.params["y"]])
    for eager, late in zip(*found, strict=True):
        np.testing.assert_array_equal(eager, late)
