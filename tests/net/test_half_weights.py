"""Weights in half precision: rounded as said, in half the memory, seen when written, and off unless asked for."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Buffer
from segcaffe.errors import InputError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.1 }'
TEXT = f"""
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 6 dim: 9 dim: 8 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y"
         convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILL} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "z" }}
layer {{ name: "wide" type: "InnerProduct" bottom: "z" top: "f" inner_product_param {{ num_output: 37 {FILL} }} }}
layer {{ name: "turned" type: "InnerProduct" bottom: "f" top: "out"
         inner_product_param {{ num_output: 5 transpose: true {FILL} }} }}
"""
LAYERS = ("conv", "wide", "turned")


def build(weights_dtype: str | None = "float16", phase: int = TEST, **options: object) -> Net:
    net = Net(parse(TEXT, NetParameter(), "net"), phase, weights_dtype=weights_dtype, **options)
    rng = np.random.default_rng(1)
    for name in LAYERS:
        for blob in net.params[name]:
            blob.data[...] = rng.uniform(-0.3, 0.3, blob.shape)
    net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    return net


def rounded(net: Net) -> None:
    """Round the weights of a net as half precision does."""
    for name in LAYERS:
        values = net.params[name][0].data
        values[...] = values.astype(np.float16)


def weights(net: Net) -> list[Buffer]:
    return [net.params[name][0].buffer("data") for name in LAYERS]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("items", [1, 2, 5, 20])
def test_results_are_those_of_rounded_weights(items: int, threads: int) -> None:
    before = parallel.num_threads()
    parallel.set_num_threads(threads)
    try:
        ours, plain = build(), build(None)
        rounded(plain)
        for net in (ours, plain):
            net.blobs["x"].reshape(items, 6, 9, 8)
        for seed in range(7):
            for net in (ours, plain):
                net.blobs["x"].data[...] = np.random.default_rng(seed).standard_normal(net.blobs["x"].shape)
            found, expected = ours.forward()["out"], plain.forward()["out"]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert [buffer.head for buffer in weights(ours)] == ["half"] * 3
        assert [buffer.allocated for buffer in weights(ours)] == [2 * buffer.size for buffer in weights(ours)]
    finally:
        parallel.set_num_threads(before)


def test_off_unless_asked_for() -> None:
    for net in (build(None), build("float32")):
        net.forward()
        assert all(buffer.head == "host" for buffer in weights(net))


@pytest.mark.parametrize("passes", [1, 7])
@pytest.mark.parametrize("layer", LAYERS)
def test_written_weights_are_seen(layer: str, passes: int) -> None:
    ours, plain = build(), build(None)
    for net in (ours, plain):
        for _ in range(passes):
            net.forward()
        net.params[layer][0].data[...] *= -0.5
    rounded(plain)
    for _ in range(5):
        np.testing.assert_allclose(ours.forward()["out"], plain.forward()["out"], rtol=1e-4, atol=1e-5)
    assert ours.params[layer][0].buffer("data").head == "half"


def test_an_array_that_somebody_holds_stays() -> None:
    net = build()
    held = net.params["wide"][0].data
    first = net.forward()["out"].copy()
    held[...] = 0
    assert not np.array_equal(net.forward()["out"], first)
    assert net.params["wide"][0].buffer("data").head == "host"


def test_the_error_is_bounded() -> None:
    values = np.float32([0, 1, -1.0003, 3e-5, -2e-6, 65504, 1e-9, np.nan, -np.inf])
    buffer = Buffer.around(values.copy())
    buffer.narrow()
    assert buffer.head == "half"
    found = buffer.read_host()
    np.testing.assert_array_equal(found[-2:], values[-2:])
    error = np.abs(found[:-2] - values[:-2])
    assert (error <= np.maximum(2.0**-11 * np.abs(values[:-2]), 2.0**-25)).all()
    large = Buffer.around(np.float32([1, 70000]))
    large.narrow()
    assert (large.head, large.read_host()[1]) == ("host", 70000)


def test_saved_weights_are_the_rounded_ones() -> None:
    ours, plain = build(), build(None)
    rounded(plain)
    ours.forward()
    assert ours.to_proto() == plain.to_proto()


@pytest.mark.parametrize(("dtype", "phase", "net_dtype"), [
    ("float16", TRAIN, np.float32), ("float16", TEST, np.float64), ("float64", TEST, np.float32),
])  # fmt: skip
def test_what_cannot_be_asked_for(dtype: str, phase: int, net_dtype: type) -> None:
    with pytest.raises(InputError, match="weights_dtype is float16, for a net of float32 in phase TEST"):
        build(dtype, phase, dtype=net_dtype)
