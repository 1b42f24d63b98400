"""Fused nets compute what the layers say: values and gradients of all blobs and parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.fusion.lazy import LazyBlob
from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-11

EXP = 'layer { name: "exp" type: "Exp" bottom: "%s" top: "mask" exp_param { scale: -1 } }'
SCALE = (
    'layer { name: "lambda" type: "Scale" bottom: "%s" top: "%s" '
    'scale_param { num_axes: 0 filler { type: "constant" value: 0.3 } } }'
)
ABS = 'layer { name: "abs" type: "AbsVal" bottom: "%s" top: "%s" }'
MASKS = {
    "scale, abs, exp": SCALE % ("dist", "scaled") + ABS % ("scaled", "abs") + EXP % "abs",
    "abs, scale, exp": ABS % ("dist", "abs") + SCALE % ("abs", "scaled") + EXP % "scaled",
    "scale, exp": SCALE % ("dist", "scaled") + EXP % "scaled",
    "abs, exp": ABS % ("dist", "abs") + EXP % "abs",
    "exp": EXP % "dist",
    "all in place": SCALE % ("dist", "dist") + ABS % ("dist", "dist")
    + 'layer { name: "exp" type: "Exp" bottom: "dist" top: "dist" exp_param { scale: -1 } }'
    + 'layer { name: "power" type: "Power" bottom: "dist" top: "mask" }',
    "distance itself": 'layer { name: "power" type: "Power" bottom: "dist" top: "mask" }',
}  # fmt: skip


def source(name: str, *shape: int) -> str:
    """An input."""
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


def segaware(
    name: str, x: str, mask: str, channels: int, window: str, rows: int = 4, group: int = 1, flip: bool = False
) -> str:
    """The layers of one convolution of masked columns, but for the mask."""
    product = f'bottom: "{name}_tile" bottom: "{name}_col"' if flip else f'bottom: "{name}_col" bottom: "{name}_tile"'
    return f"""
layer {{ name: "{name}_tile" type: "Tile" bottom: "{mask}" top: "{name}_tile" tile_param {{ tiles: {channels} }} }}
layer {{ name: "{name}_col" type: "Im2col" bottom: "{x}" top: "{name}_col" convolution_param {{ {window} }} }}
layer {{ name: "{name}_hit" type: "Eltwise" {product} top: "{name}_hit" eltwise_param {{ operation: PROD }} }}
{conv(name, f"{name}_hit", window, rows, group)}
"""


def conv(name: str, bottom: str, window: str, rows: int = 4, group: int = 1) -> str:
    """A convolution of columns."""
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
  num_output: {rows} group: {group} {window} bottom_is_im2col: true
  weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "gaussian" }} }} }}"""


def distance(window: str = "kernel_size: 3 pad: 1", options: str = "norm: L1") -> str:
    """An Im2dist."""
    return f"""layer {{ name: "dist" type: "Im2dist" bottom: "e" top: "dist" convolution_param {{ {window} }}
  im2dist_param {{ {options} }} }}"""


def build(text: str, fuse: bool, phase: int = caffe_pb2.TRAIN) -> Net:
    """A net in float64 whose gradients reach the inputs, inputs and parameters filled in the same way each time."""
    net = Net(
        parse("force_backward: true " + text, caffe_pb2.NetParameter(), "net"), phase, dtype=np.float64, fuse=fuse
    )
    rng = np.random.default_rng(5)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.standard_normal(net.blobs[name].shape)
    for blob in net.learnable_params:
        blob.data[...] = rng.standard_normal(blob.shape)
    return net


def run(net: Net) -> None:
    """Forward and backward, the outputs' gradients filled in the same way each time."""
    net.forward()
    rng = np.random.default_rng(6)
    for name in net.outputs:
        net.blobs[name].diff[...] = rng.standard_normal(net.blobs[name].shape)
    net.clear_param_diffs()
    net.backward()


def fused(net: Net) -> list[str]:
    """Names of the fused convolutions."""
    return [layer.name for layer in net.layers if isinstance(layer, MaskedConvolution)]


def assert_equal(text: str, expected: list[str]) -> None:
    """Both ways of running a net agree in every blob, gradient and parameter; fusion changes ``expected`` only."""
    nets = [build(text, fuse) for fuse in (True, False)]
    for net in nets:
        run(net)
    ours, plain = nets
    assert (fused(ours), fused(plain)) == (expected, [])
    for name in plain.blobs:
        _agree(f"blob {name}", ours.blobs[name].data, plain.blobs[name].data)
        _agree(f"gradient of {name}", ours.blobs[name].diff, plain.blobs[name].diff)
    for name, blobs in plain.params.items():
        for i, blob in enumerate(blobs):
            _agree(f"gradient of {name}/{i}", ours.params[name][i].diff, blob.diff)


def _agree(what: str, found: Array, expected: Array) -> None:
    scale = max(float(np.abs(expected).max(initial=0)), 1e-30)
    assert float(np.abs(found - expected).max(initial=0)) <= TOLERANCE * scale, what


INPUTS = source("x", 2, 6, 9, 11) + source("e", 2, 3, 9, 11)
ONE = "kernel_size: 3 pad: 1"


@pytest.mark.parametrize("name", MASKS)
def test_masks_in_all_spellings(name: str) -> None:
    assert_equal(INPUTS + distance() + MASKS[name] + segaware("y", "x", "mask", 6, ONE, flip="abs" in name), ["y"])


@pytest.mark.parametrize("options", ["norm: L2", "norm: L1 remove_center: true", "remove_bounds: true"])
def test_options_of_the_distance(options: str) -> None:
    text = INPUTS + distance(options=options) + MASKS["scale, abs, exp"] + segaware("y", "x", "mask", 6, ONE, group=2)
    assert_equal(text, ["y"])


@pytest.mark.parametrize("seed", range(6))
def test_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride, pad, dilation = (rng.integers(*limits, size=2) for limits in ((1, 4), (1, 3), (0, 3), (1, 3)))
    size = [int(d * (k - 1) + 4) for k, d in zip(kernel, dilation, strict=True)]
    window = (
        f"kernel_size: {kernel[0]} kernel_size: {kernel[1]} stride: {stride[0]} stride: {stride[1]} "
        f"pad: {pad[0]} pad: {pad[1]} dilation: {dilation[0]} dilation: {dilation[1]}"
    )
    inputs = source("x", 1, 4, *size) + source("e", 1, 2, *size)
    text = inputs + distance(window) + MASKS["scale, abs, exp"]
    assert_equal(text + segaware("y", "x", "mask", 4, window, rows=2 + 2 * seed, group=1 + seed % 2), ["y"])


def test_mask_shared_by_convolutions_one_after_the_other() -> None:
    text = INPUTS + distance() + MASKS["scale, abs, exp"]
    relu = 'layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }'
    text += segaware("a", "x", "mask", 6, ONE, rows=6) + relu + segaware("b", "a", "mask", 6, ONE)
    assert_equal(text, ["a", "b"])


def test_one_distance_with_two_scales() -> None:
    text = INPUTS + distance() + MASKS["scale, abs, exp"] + segaware("a", "x", "mask", 6, ONE, rows=6)
    text += SCALE.replace("lambda", "lambda2") % ("dist", "scaled2")
    text += 'layer { name: "exp2" type: "Exp" bottom: "scaled2" top: "mask2" exp_param { scale: -1 } }'
    assert_equal(text + segaware("b", "a", "mask2", 6, ONE), ["a", "b"])


def test_shared_columns_tile_and_product() -> None:
    hit = 'layer { name: "hit2" type: "Eltwise" bottom: "a_col" bottom: "a_tile" top: "hit2" '
    hit += "eltwise_param { operation: PROD } }"
    text = INPUTS + distance() + MASKS["scale, abs, exp"] + segaware("a", "x", "mask", 6, ONE)
    text += hit + conv("b", "hit2", ONE, rows=3) + conv("c", "hit2", ONE, rows=2)
    assert_equal(text, ["a", "b", "c"])


def test_image_read_by_others_too() -> None:
    text = INPUTS + distance() + MASKS["exp"] + segaware("y", "x", "mask", 6, ONE)
    text += 'layer { name: "other" type: "Power" bottom: "x" top: "other" power_param { power: 2 } }'
    assert_equal(text, ["y"])


UNFIT = {
    "columns read by another layer": 'layer { name: "o" type: "Power" bottom: "y_col" top: "o" }',
    "masked columns read by another layer": 'layer { name: "o" type: "Power" bottom: "y_hit" top: "o" }',
    "image overwritten": 'layer { name: "r" type: "Flatten" bottom: "x" top: "flat" } '
    'layer { name: "o" type: "ReLU" bottom: "flat" top: "flat" }',
    "mask overwritten": 'layer { name: "r" type: "Flatten" bottom: "mask" top: "flat" } '
    'layer { name: "o" type: "ReLU" bottom: "flat" top: "flat" }',
}  # fmt: skip


@pytest.mark.parametrize("reason", UNFIT)
def test_left_alone(reason: str) -> None:
    assert_equal(INPUTS + distance() + MASKS["exp"] + segaware("y", "x", "mask", 6, ONE) + UNFIT[reason], [])


def test_mask_of_something_else_than_a_distance_is_left_alone() -> None:
    text = source("x", 1, 2, 5, 5) + source("m", 1, 18, 5, 5)
    assert_equal(text + segaware("y", "x", "m", 1, ONE), [])


def test_windows_that_differ_are_left_alone() -> None:
    text = source("x", 1, 2, 7, 5) + source("e", 1, 2, 7, 5) + distance("kernel_size: 1 kernel_size: 3 pad: 1 pad: 1")
    text = text.replace("kernel_size: 1 kernel_size: 3 pad: 1 pad: 1", "kernel_h: 1 kernel_w: 9 pad_w: 4 pad_h: 0")
    assert_equal(text + MASKS["exp"] + segaware("y", "x", "mask", 2, ONE), [])


SMALL = INPUTS + distance() + MASKS["scale, abs, exp"] + segaware("y", "x", "mask", 6, ONE)


def test_names_and_weights_are_those_of_the_layers(tmp_path: Path) -> None:
    ours, plain = (build(SMALL, fuse) for fuse in (True, False))
    assert ours.layer_names == plain.layer_names
    assert [layer.type for layer in ours.layers] == [layer.type for layer in plain.layers]
    assert list(ours.blobs) == list(plain.blobs)
    assert {name: len(blobs) for name, blobs in ours.params.items()} == {"lambda": 1, "y": 2}
    ours.params["y"][0].data[...] = 3
    ours.save(tmp_path / "ours.caffemodel")
    plain.copy_from(tmp_path / "ours.caffemodel")
    assert float(plain.params["y"][0].data.min()) == 3
    assert ours.to_proto() == plain.to_proto()


def test_blobs_in_between_are_computed_when_read_and_only_then() -> None:
    net = build(SMALL, True)
    run(net)
    assert isinstance(net.blobs["y_hit"], LazyBlob)
    assert [net.blobs[name].allocated for name in ("y_col", "y_tile", "y_hit")] == [0, 0, 0]
    first = net.blobs["y_hit"].data.copy()
    assert net.blobs["y_hit"].allocated > 0
    net.blobs["x"].data[...] *= 2
    assert np.array_equal(net.blobs["y_hit"].data, first)
    net.forward()
    assert np.allclose(net.blobs["y_hit"].data, 2 * first)


def test_parts_of_a_net_run_by_the_layers_names() -> None:
    ours, plain = (build(SMALL, fuse) for fuse in (True, False))
    for net in (ours, plain):
        net.forward()
        net.blobs["x"].data[...] += 1
        net.forward(start="y_col", end="y_hit")
    assert np.allclose(ours.blobs["y_hit"].data, plain.blobs["y_hit"].data)
    assert np.allclose(ours.forward(start="y")["y"], plain.forward(start="y")["y"])


def test_new_input_size() -> None:
    ours, plain = (build(SMALL, fuse) for fuse in (True, False))
    rng = np.random.default_rng(1)
    inputs = {"x": rng.standard_normal((1, 6, 14, 8)), "e": rng.standard_normal((1, 3, 14, 8))}
    for net in (ours, plain):
        for name, values in inputs.items():
            net.blobs[name].reshape(*values.shape)
        net.forward(**inputs)
    assert np.allclose(ours.blobs["y"].data, plain.blobs["y"].data)
    assert np.allclose(ours.blobs["y_hit"].data, plain.blobs["y_hit"].data)


def test_accumulates_gradients_of_parameters() -> None:
    net = build(SMALL, True)
    run(net)
    once = net.params["y"][0].diff.copy()
    _ = net.blobs["y_hit"].diff
    net.backward()
    assert np.allclose(net.params["y"][0].diff, 2 * once)
