"""Convolutions whose channels lie in blocks: the values of those in Caffe's order, wherever arrays lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segcaffe.kernels import convolution
from segcaffe.kernels.convolution.depthwise.lanes import Lanes
from segcaffe.kernels.convolution.method import choose, compiled_soon
from segcaffe.kernels.convolution.panels.method import Panels
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.vector.tile import vector_length
from segcaffe.threads import parallel
from segcaffe.window import Window
from tests.kernels.test_placement import placements

Array = np.ndarray[Any, Any]
LANES = vector_length(np.float32)
pytestmark = pytest.mark.skipif(LANES < 8, reason="This processor's vectors are too short for blocks of channels.")

# (images, blocks or channels of the image, of the output, (height, width), kernel, stride, pad, dilation, group);
# a number of channels above 10 is one of channels that lie in Caffe's order.
CASES = {
    "pointwise": (2, 3, 4, (9, 7), 1, 1, 0, 1, 1),
    "pointwise_of_seven_and_eight": (1, 2, 3, (7, 7), 1, 1, 0, 1, 1),
    "pointwise_stride": (2, 2, 5, (9, 8), 1, 2, 0, 1, 1),
    "pointwise_to_planes": (2, 2, 37, (6, 7), 1, 1, 0, 1, 1),
    "pointwise_from_planes": (2, 37, 2, (6, 7), 1, 1, 0, 1, 1),
    "few_pixels": (3, 2, 4, (2, 3), 1, 1, 0, 1, 1),
    "one_pixel": (3, 2, 4, (1, 1), 1, 1, 0, 1, 1),
    "first": (2, 11, 2, (13, 14), 3, 2, 1, 1, 1),
    "first_of_seven": (1, 11, 3, (15, 16), 7, 2, 3, 1, 1),
    "bands": (1, 2, 2, (83, 91), 3, 2, 1, 1, 1),
    "strided": (2, 2, 3, (9, 10), 3, 2, 1, 1, 1),
    "dilated": (1, 2, 1, (12, 13), 3, 2, 2, 2, 1),
    "depthwise": (2, 3, 3, (9, 11), 3, 1, 1, 1, 0),
    "depthwise_stride": (2, 2, 2, (13, 14), 3, 2, 1, 1, 0),
    "depthwise_without_padding": (2, 2, 2, (6, 5), 3, 1, 0, 1, 0),
    "depthwise_over_padded": (1, 2, 2, (4, 5), 3, 2, 4, 1, 0),
    "depthwise_dilated": (2, 2, 2, (9, 12), 3, 1, 2, 2, 0),
    "depthwise_narrow": (2, 2, 2, (5, 1), 3, 1, 1, 1, 0),
    "depthwise_one_pixel": (2, 2, 2, (1, 1), 3, 1, 1, 1, 0),
}
_PLANES = 10
"""Numbers above are of channels, not of blocks."""


def in_blocks(array: Array) -> Array:
    images, channels, *spatial = array.shape
    return np.ascontiguousarray(
        np.moveaxis(array.reshape(images, channels // LANES, LANES, *spatial), 2, -1), dtype=array.dtype
    )


def in_order(array: Array) -> Array:
    images, blocks, *spatial, lanes = array.shape
    return np.moveaxis(array, -1, 2).reshape(images, blocks * lanes, *spatial)


def made(case: str) -> tuple[dict[str, Any], Array, bool, bool]:
    """Arguments in Caffe's order, the output's room, and whether image and output are to lie in blocks."""
    images, given, wanted, sizes, kernel, stride, pad, dilation, group = CASES[case]
    channels, outputs = (count if count > _PLANES else count * LANES for count in (given, wanted))
    group = group or channels
    window = Window((kernel,) * 2, (stride,) * 2, (pad,) * 2, (dilation,) * 2)
    rng = np.random.default_rng(len(case))
    x = rng.standard_normal((images, channels, *sizes)).astype(np.float32)
    weight = rng.standard_normal((outputs, channels // group, kernel, kernel)).astype(np.float32)
    bias, scale, slope = (rng.standard_normal(outputs).astype(np.float32) for _ in range(3))
    out = np.empty((images, outputs, *window.output_shape(sizes)), np.float32)
    arguments = {
        "x": x, "weight": weight, "bias": bias, "window": window, "group": group, "scale": scale,
        "negative_slope": slope,
    }  # fmt: skip
    return arguments, out, given <= _PLANES, wanted <= _PLANES


@pytest.mark.parametrize("slope", ["channels", 0.0, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_values_are_those_in_order(case: str, slope: str | float) -> None:
    arguments, out, given, wanted = made(case)
    if slope != "channels":
        arguments["negative_slope"] = slope
    convolution.forward(**arguments, out=out)
    found = in_blocks(out) if wanted else np.empty_like(out)
    found.fill(np.nan)
    x = in_blocks(arguments["x"]) if given else arguments["x"]
    convolution.forward(**(arguments | {"x": x}), out=found)
    np.testing.assert_allclose(in_order(found) if wanted else found, out, rtol=1e-5, atol=1e-5 * np.abs(out).max())


@pytest.mark.parametrize("case", ["pointwise", "few_pixels", "strided"])
def test_another_array_is_added(case: str) -> None:
    arguments, out, _, _ = made(case)
    addend = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
    convolution.forward(**arguments, out=out, addend=addend)
    found = in_blocks(out)
    given = arguments | {"x": in_blocks(arguments["x"]), "addend": in_blocks(addend)}
    convolution.forward(**given, out=found)
    np.testing.assert_allclose(in_order(found), out, rtol=1e-5, atol=1e-5 * np.abs(out).max())


@pytest.mark.parametrize("case", ["pointwise", "pointwise_to_planes", "few_pixels", "first", "bands", "depthwise"])
def test_bits_do_not_depend_on_places_or_threads(case: str) -> None:
    arguments, out, given, wanted = made(case)
    if given:
        arguments["x"] = in_blocks(arguments["x"])
    arguments["out"] = in_blocks(out) if wanted else out
    results = []
    before = parallel.num_threads()
    try:
        for count in (1, 3):
            parallel.set_num_threads(count)
            for _, moved in placements(arguments):
                convolution.forward(**moved)
                results.append(moved["out"].copy())
    finally:
        parallel.set_num_threads(before)
    assert all(np.array_equal(result, results[0]) for result in results)


def test_values_beyond_the_image_do_not_count() -> None:
    # A neighbour that a padded tap does not see may be infinite.
    arguments, out, _, _ = made("depthwise")
    arguments["x"][:, :, 4, 5] = np.inf
    convolution.forward(**arguments, out=out)
    found = in_blocks(out)
    convolution.forward(**(arguments | {"x": in_blocks(arguments["x"])}), out=found)
    np.testing.assert_array_equal(np.isfinite(in_order(found)), np.isfinite(out))


def test_blocks_are_seen_by_the_shapes() -> None:
    window = Window((3, 3), (1, 1), (1, 1), (1, 1))
    weight = (2 * LANES, 1, 3, 3)
    planes, blocks = (1, 2 * LANES, 5, 6), (1, 2, 5, 6, LANES)
    assert isinstance(choose(Problem.forward(blocks, weight, blocks, window, 2 * LANES, 4)), Lanes)
    point, single = Window((1, 1), (1, 1), (0, 0), (1, 1)), (2 * LANES, 2 * LANES, 1, 1)
    with compiled_soon():
        for x, y in ((blocks, planes), (planes, blocks), (blocks, blocks)):
            method = choose(Problem.forward(x, single, y, point, 1, 4))
            assert isinstance(method, Panels)
            assert method.workspace()["packed"] == 4 * math.prod(single)
