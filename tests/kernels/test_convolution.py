from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from segcaffe.kernels import convolution
from segcaffe.kernels.convolution import columns
from segcaffe.kernels.convolution.blocks import BlockGradient, Blocks
from segcaffe.kernels.convolution.columns import ColumnGradient, ColumnsBack
from segcaffe.kernels.convolution.depthwise.planes import Planes, PlanesGradient
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.method import Passes, choose, choose_gradient, compiled_soon
from segcaffe.kernels.convolution.panels.method import Panels
from segcaffe.kernels.convolution.panels.plan import make_plan
from segcaffe.kernels.convolution.plan import make_plan as make_block_plan
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.convolution.spread import Spread, SpreadGradient
from segcaffe.kernels.convolution.whole import Whole
from segcaffe.kernels.convolution.winograd.tiles import TileGradient, Tiles
from segcaffe.kernels.convolution.winograd_panels import plan as winograd_panels
from segcaffe.kernels.convolution.winograd_panels.method import PanelTiles
from segcaffe.kernels.vector.tile import ROWS, vector_length
from segcaffe.threads import parallel
from segcaffe.window import Window

# (images, channels, outputs, spatial, kernel, stride, pad, dilation, group)
CASES = {
    "3x3": (2, 3, 9, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "1x1": (2, 5, 4, (6, 7), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "1x1_stride": (3, 5, 4, (7, 6), (1, 1), (2, 3), (0, 0), (1, 1), 1),
    "stride": (2, 3, 10, (11, 12), (3, 5), (2, 3), (1, 2), (1, 1), 1),
    "stride_over_kernel": (1, 2, 3, (11, 13), (2, 1), (4, 3), (0, 0), (1, 1), 1),
    "dilated": (2, 2, 5, (14, 13), (3, 3), (1, 1), (4, 3), (4, 3), 1),
    "dilated_stride": (2, 2, 5, (14, 13), (3, 2), (2, 3), (4, 1), (3, 2), 1),
    "groups": (2, 6, 9, (8, 9), (3, 3), (1, 1), (1, 0), (1, 1), 3),
    "depthwise": (2, 5, 5, (8, 9), (3, 3), (1, 1), (1, 1), (1, 1), 5),
    "depthwise_narrow": (2, 5, 5, (7, 6), (3, 3), (1, 1), (1, 1), (1, 1), 5),
    "depthwise_narrow_stride": (2, 5, 5, (13, 14), (3, 3), (2, 2), (1, 1), (1, 1), 5),
    "depthwise_wide": (1, 3, 3, (70, 60), (3, 3), (1, 1), (0, 2), (1, 1), 3),
    "depthwise_stride": (2, 4, 4, (21, 50), (3, 3), (2, 2), (1, 0), (1, 1), 4),
    "depthwise_dilated": (2, 3, 3, (20, 41), (3, 3), (1, 1), (3, 2), (3, 2), 3),
    "depthwise_mixed": (2, 3, 3, (15, 44), (5, 4), (3, 2), (2, 1), (2, 3), 3),
    "depthwise_7x2": (1, 6, 6, (12, 19), (7, 2), (1, 1), (3, 1), (1, 1), 6),
    "depthwise_over_padded": (2, 2, 2, (4, 5), (3, 3), (2, 2), (5, 4), (1, 1), 2),
    "depthwise_one_axis": (3, 4, 4, (40,), (5,), (2,), (2,), (1,), 4),
    "depthwise_1x1_stride": (2, 3, 3, (9, 10), (1, 1), (2, 2), (0, 0), (1, 1), 3),
    "whole_image": (4, 3, 17, (5, 6), (5, 6), (1, 1), (0, 0), (1, 1), 1),
    "over_padded": (2, 2, 3, (4, 5), (3, 3), (2, 2), (5, 4), (1, 1), 1),
    "wide": (1, 3, 12, (9, 150), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "many_images": (33, 2, 21, (6, 5), (3, 3), (1, 1), (0, 0), (1, 1), 1),
    "many_channels": (1, 150, 40, (20, 21), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "tiles": (3, 40, 48, (37, 30), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "tiles_groups": (2, 96, 112, (32, 33), (3, 3), (1, 1), (2, 0), (1, 1), 2),
    "tiles_dilated": (2, 100, 99, (32, 46), (3, 3), (1, 1), (2, 3), (2, 3), 1),
    "tiles_odd": (2, 61, 59, (33, 30), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "few_outputs": (2, 300, 5, (30, 31), (3, 3), (1, 1), (12, 9), (12, 10), 1),
    "few_outputs_one_axis": (1, 400, 3, (70,), (5,), (1,), (20,), (15,), 1),
    "one_axis": (3, 4, 6, (40,), (5,), (2,), (2,), (1,), 2),
    "few_pixels": (2, 70, 52, (7, 9), (3, 3), (2, 1), (2, 1), (2, 1), 1),
    "few_pixels_1x1": (2, 150, 220, (7, 9), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "1x1_gradient": (1, 40, 36, (40, 41), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "panels": (2, 30, 37, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "panels_1x1": (2, 64, 100, (7, 7), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "panels_1x1_stride": (2, 70, 48, (13, 14), (1, 1), (2, 3), (0, 0), (1, 1), 1),
    "panels_stride": (2, 7, 14, (35, 34), (5, 5), (2, 3), (1, 2), (1, 1), 1),
    "panels_bands": (1, 40, 16, (82, 91), (3, 3), (2, 2), (2, 0), (2, 1), 1),
    "panels_few_pixels": (2, 20, 21, (5, 4), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "panels_one_pixel": (3, 20, 37, (2, 2), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "panels_groups": (2, 18, 75, (10, 11), (5, 3), (1, 2), (1, 1), (1, 2), 3),
    "panels_groups_of_a_vector": (2, 32, 64, (10, 11), (3, 3), (1, 2), (2, 1), (1, 1), 2),
    "panels_one_row": (1, 60, 16, (1, 15), (1, 3), (1, 1), (0, 1), (1, 1), 1),
    "panels_one_axis": (2, 60, 29, (39,), (3,), (1,), (2,), (1,), 1),
    "panels_three_axes": (2, 9, 32, (5, 6, 7), (2, 3, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2), 1),
    "panels_over_padded": (2, 9, 16, (4, 5), (3, 3), (2, 2), (5, 4), (1, 1), 1),
    "few_images": (5, 37, 40, (7, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "over_padded_3x3": (2, 40, 32, (9, 11), (3, 3), (1, 1), (4, 3), (1, 1), 1),
    "three_axes": (2, 3, 5, (5, 6, 7), (2, 3, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2), 1),
}


def _columns(x, kernel, stride, pad, dilation, output):
    """(N, C, taps, *output), by definition."""
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    taps = []
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in zip(tap, dilation, stride, output, strict=True)
        )
        taps.append(padded[(slice(None), slice(None), *window)])
    return np.stack(taps, axis=2)


def _reference(x, weight, bias, grad, window, group):
    """Output, and gradients of x, weight and bias, in float64 through the columns and their adjoint."""
    kernel, stride, pad, dilation = window.kernel, window.stride, window.pad, window.dilation
    n, c = x.shape[:2]
    m, output = weight.shape[0], grad.shape[2:]
    columns = _columns(x, kernel, stride, pad, dilation, output).reshape(n, group, -1, math.prod(output))
    w = weight.reshape(group, m // group, -1)
    g = grad.reshape(n, group, m // group, -1)
    out = np.einsum("gmk,ngkp->ngmp", w, columns).reshape(grad.shape) + bias.reshape(m, *[1] * len(output))
    grad_weight = np.einsum("ngmp,ngkp->gmk", g, columns).reshape(weight.shape)
    grad_columns = np.einsum("gmk,ngmp->ngkp", w, g).reshape(n, c, -1, *output)
    padded = np.zeros((n, c, *(s + 2 * p for s, p in zip(x.shape[2:], pad, strict=True))))
    for i, tap in enumerate(itertools.product(*map(range, kernel))):
        window = tuple(
            slice(t * d, t * d + s * (q - 1) + 1, s) for t, d, s, q in zip(tap, dilation, stride, output, strict=True)
        )
        padded[(slice(None), slice(None), *window)] += grad_columns[:, :, i]
    inside = tuple(slice(p, p + s) for s, p in zip(x.shape[2:], pad, strict=True))
    return out, padded[(slice(None), slice(None), *inside)], grad_weight, grad.sum(axis=(0, *range(2, grad.ndim)))


def _problem(case, dtype):
    images, channels, outputs, spatial, kernel, stride, pad, dilation, group = CASES[case]
    rng = np.random.default_rng(3)
    size = tuple(
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip(spatial, pad, dilation, kernel, stride, strict=True)
    )
    shapes = ((images, channels, *spatial), (outputs, channels // group, *kernel), (outputs,), (images, outputs, *size))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes], (
        Window(kernel, stride, pad, dilation),
        group,
    )


def _close(actual, expected):
    eps = np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=0, atol=40 * eps * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_equals_definition(case, dtype):
    (x, weight, bias, grad), options = _problem(case, dtype)
    kernel = weight.shape[2:]
    wide = (a.astype(np.float64) for a in (x, weight, bias, grad))
    expected = _reference(*wide, *options)
    out, grad_x = np.full_like(grad, np.nan), np.full_like(x, np.nan)
    convolution.forward(x, weight, bias, out, *options)
    _close(out, expected[0])
    convolution.forward(x, weight, None, out, *options)
    _close(out, expected[0] - bias.reshape(-1, *[1] * len(kernel)))
    convolution.backward_data(grad, weight, grad_x, *options)
    _close(grad_x, expected[1])
    grad_weight, grad_bias = np.ones_like(weight), np.ones_like(bias)
    convolution.backward_weight(x, grad, grad_weight, grad_bias, *options)
    _close(grad_weight, expected[2] + 1)
    _close(grad_bias, expected[3] + 1)
    convolution.backward_weight(x, grad, grad_weight, None, *options)
    _close(grad_weight, 2 * expected[2] + 1)
    convolution.backward_bias(grad, grad_bias)
    _close(grad_bias, 2 * expected[3] + 1)


def _ended(sums, scale, bias, slope, addend=0):
    shape = (-1, *[1] * (sums.ndim - 2))
    values = (sums if scale is None else sums * scale.reshape(shape)) + (0 if bias is None else bias.reshape(shape))
    values = values + addend
    return np.where(values > 0, values, (slope.reshape(shape) if isinstance(slope, np.ndarray) else slope) * values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_epilogues_equal_definition(case, dtype):
    (x, weight, bias, grad), options = _problem(case, dtype)
    rng = np.random.default_rng(5)
    scale, bias_x, scale_x = (rng.standard_normal(size).astype(dtype) for size in (len(bias), *2 * (x.shape[1],)))
    wide = [a.astype(np.float64) for a in (x, weight, np.zeros_like(bias), grad)]
    sums, sums_x, *_ = _reference(*wide, *options)
    for chosen, chosen_x, slope in [((scale, bias), (scale_x, bias_x), 0.0), ((scale, None), (scale_x, None), 0.3),
                                    ((None, bias), (None, bias_x), -0.5)]:  # fmt: skip
        out, grad_x = np.full_like(grad, np.nan), np.full_like(x, np.nan)
        convolution.forward(x, weight, chosen[1], out, *options, scale=chosen[0], negative_slope=slope)
        _close(out, _ended(sums, *chosen, slope))
        epilogue = {"scale": chosen_x[0], "bias": chosen_x[1], "negative_slope": slope}
        convolution.backward_data(grad, weight, grad_x, *options, **epilogue)
        _close(grad_x, _ended(sums_x, *chosen_x, slope))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_addends_and_slopes_of_channels(case, dtype):
    (x, weight, bias, grad), options = _problem(case, dtype)
    rng = np.random.default_rng(6)
    slopes, slopes_x = (rng.uniform(-0.5, 0.5, size).astype(dtype) for size in (len(bias), x.shape[1]))
    addend = rng.standard_normal(grad.shape).astype(dtype)
    wide = [a.astype(np.float64) for a in (x, weight, np.zeros_like(bias), grad)]
    sums, sums_x, *_ = _reference(*wide, *options)
    for slope, added in [(0.0, addend), (1.0, addend), (slopes, None), (slopes, addend)]:
        out = np.full_like(grad, np.nan)
        convolution.forward(x, weight, bias, out, *options, negative_slope=slope, addend=added)
        _close(out, _ended(sums, None, bias, slope, 0 if added is None else added))
    grad_x = np.full_like(x, np.nan)
    convolution.backward_data(grad, weight, grad_x, *options, negative_slope=slopes_x)
    _close(grad_x, _ended(sums_x, None, None, slopes_x))


@pytest.mark.parametrize(("size", "channels", "rows"), [(1, 1, 9), (7, 1, 9), (40, 1, 9), (7, 30, 20)])
def test_rectifier_of_what_is_no_number(size, channels, rows):
    """As the ReLU layer: minus infinity becomes 0 with slope 0, what is no number stays."""
    x = np.ones((1, channels, size, size), np.float32)
    x[0, 0, 0, 0] = -np.inf
    x[0, 0, size - 1, size - 1] = np.nan
    weight, out = np.zeros((rows, channels, 1, 1), np.float32), np.empty((1, rows, size, size), np.float32)
    weight[:, 0] = 1
    convolution.forward(x, weight, None, out, Window((1, 1), (1, 1), (0, 0), (1, 1)), negative_slope=0.0)
    expected = np.where(x[:, :1] <= 0, 0, x[:, :1])
    np.testing.assert_array_equal(out, np.broadcast_to(expected, out.shape))


@pytest.mark.skipif(vector_length(np.float32) < 16, reason="panels are for wide registers")
@pytest.mark.parametrize(
    ("side", "rows", "by_panels"), [(56, 64, True), (64, 64, False), (32, 128, False), (64, 16, True)]
)
def test_panels_are_not_for_planes_that_share_places_in_the_cache(side: int, rows: int, by_panels: bool) -> None:
    window = Window((1, 1), (1, 1), (0, 0), (1, 1))
    problem = Problem.forward((1, 64, side, side), (rows, 64, 1, 1), (1, rows, side, side), window, 1, 4)
    assert isinstance(choose(problem), Panels) == by_panels


@pytest.mark.parametrize("case", ["tiles", "tiles_groups", "tiles_dilated", "tiles_odd"])
def test_cases_that_go_by_tiles_do(case):
    (x, weight, _, grad), (window, group) = _problem(case, np.float32)
    problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
    plain = window.dilation == (1, 1) and vector_length("f4") >= max(ROWS, 8)
    assert isinstance(choose(problem), PanelTiles if plain else Tiles)
    assert isinstance(choose_gradient(problem.for_weight()), TileGradient)
    back = choose(problem.for_data())
    assert isinstance(back, PanelTiles) if plain else all(isinstance(one, Tiles) for one in back.passes)


# Channels, outputs, side, taps, dilation; how the gradients of image and weights are computed.
GRADIENTS = [
    (256, 256, 21, 3, 1, PanelTiles, ColumnGradient),
    (256, 256, 21, 3, 2, Tiles, ColumnGradient),
    (512, 512, 21, 3, 4, ColumnsBack, ColumnGradient),
    (128, 128, 21, 3, 1, PanelTiles, BlockGradient),
    (128, 128, 28, 3, 1, PanelTiles, TileGradient),
    (512, 512, 41, 3, 1, Tiles, TileGradient),
    (512, 512, 7, 3, 1, ColumnsBack, ColumnGradient),
    (2048, 21, 21, 3, 12, Blocks, SpreadGradient),
    (2048, 512, 7, 1, 1, ColumnsBack, ColumnGradient),
    (512, 128, 28, 1, 1, ColumnsBack, BlockGradient),
]


@pytest.mark.parametrize(("channels", "outputs", "side", "taps", "dilation", "image", "weights"), GRADIENTS)
@pytest.mark.skipif(vector_length("f4") < max(ROWS, 8), reason="the processor's registers are too narrow")
def test_gradients_go_where_they_were_measured_to_be_fastest(channels, outputs, side, taps, dilation, image, weights):
    pad = dilation * (taps // 2)
    window = Window((taps, taps), (1, 1), (pad, pad), (dilation, dilation))
    shapes = (1, channels, side, side), (outputs, channels, taps, taps), (1, outputs, side, side)
    problem = Problem.forward(*shapes, window, 1, 4)
    method = choose(problem.for_data())
    assert isinstance(method.passes[0] if isinstance(method, Passes) else method, image)
    assert isinstance(choose_gradient(problem.for_weight()), weights)


@pytest.mark.parametrize(("stride", "pad"), [(2, 1), (1, 3)])
def test_what_no_forward_convolution_computes_is_not_turned(stride: int, pad: int) -> None:
    window = Window((3, 3), (stride, stride), (pad, pad), (1, 1))
    size = (9 + 2 * pad - 3) // stride + 1
    problem = Problem.forward((1, 4, 9, 9), (5, 4, 3, 3), (1, 5, size, size), window, 1, 4)
    assert problem.for_data().turned() is None
    assert problem.turned() is None


def test_tiles_are_as_exact_as_single_precision_allows():
    rng = np.random.default_rng(4)
    x, weight = rng.standard_normal((2, 256, 30, 31)), rng.standard_normal((128, 256, 3, 3))
    out, exact = np.empty((2, 128, 30, 31), np.float32), np.empty((2, 128, 30, 31))
    options = (Window((3, 3), (1, 1), (1, 1), (1, 1)),)
    convolution.forward(x.astype(np.float32), weight.astype(np.float32), None, out, *options)
    convolution.forward(x, weight, None, exact, *options)
    assert np.abs(out - exact).max() <= 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("case", CASES)
def test_same_for_any_number_of_threads(case):
    (x, weight, bias, grad), options = _problem(case, np.float32)
    results = []
    before = parallel.num_threads()
    for threads in (1, 2, 5):
        out, grad_x, grad_weight, grad_bias = (np.zeros_like(a) for a in (grad, x, weight, bias))
        try:
            parallel.set_num_threads(threads)
            convolution.forward(x, weight, bias, out, *options)
            convolution.backward_data(grad, weight, grad_x, *options)
            convolution.backward_weight(x, grad, grad_weight, grad_bias, *options)
        finally:
            parallel.set_num_threads(before)
        results.append((out, grad_x, grad_weight, grad_bias))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_of_earlier_calls_does_not_leak_in():
    (x, weight, bias, grad), options = _problem("3x3", np.float32)
    out, grad_weight = np.empty_like(grad), np.zeros_like(weight)
    convolution.forward(np.full_like(x, np.nan), weight, bias, out, *options)
    convolution.backward_weight(np.full_like(x, np.nan), grad, grad_weight.copy(), None, *options)
    convolution.forward(x, weight, bias, out, *options)
    convolution.backward_weight(x, grad, grad_weight, None, *options)
    assert np.isfinite(out).all()
    assert np.isfinite(grad_weight).all()


def test_empty_batch():
    weight = np.ones((2, 3, 3, 3), np.float32)
    x, out = np.empty((0, 3, 5, 5), np.float32), np.empty((0, 2, 3, 3), np.float32)
    options = (Window((3, 3), (1, 1), (0, 0), (1, 1)), 1)
    convolution.forward(x, weight, None, out, *options)
    convolution.backward_data(out, weight, x, *options)
    grad_weight = np.ones_like(weight)
    convolution.backward_weight(x, out, grad_weight, None, *options)
    np.testing.assert_array_equal(grad_weight, 1)


def test_four_axes_are_refused():
    x = np.zeros((1, 1, 2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"1 to 3 spatial axes. Received: 4"):
        convolution.forward(x, np.zeros((1, 1, 1, 1, 1, 1)), None, x, Window((1,) * 4, (1,) * 4, (0,) * 4, (1,) * 4))


def test_columns_of_some_channels_at_a_time(monkeypatch):
    monkeypatch.setattr(columns, "_COLUMNS", 9 * 63 * 8)
    for dtype in (np.float32, np.float64):
        test_equals_definition("few_pixels", dtype)


@pytest.mark.parametrize("case", ["tiles", "stride", "dilated_stride", "groups", "few_outputs", "whole_image"])
def test_what_compiles_soon_computes_the_same(case):
    (x, weight, _, grad), (window, group) = _problem(case, np.float32)
    problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
    with compiled_soon():
        assert isinstance(choose(problem), columns.Columns) == (group == 1)
        test_equals_definition(case, np.float32)
    assert choose(problem) is choose(problem)


def test_windows_as_large_as_the_image_are_inner_products():
    (x, weight, _, grad), options = _problem("whole_image", np.float32)
    assert isinstance(choose(Problem.forward(x.shape, weight.shape, grad.shape, *options, 4)), Whole)


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize(
    "case", ["3x3", "groups", "wide", "tiles", "tiles_groups", "tiles_odd", "panels", "few_images"]
)
@pytest.mark.skipif(vector_length("f4") < max(ROWS, 8), reason="the processor's registers are too narrow")
def test_both_forms_of_tiles(case, step, monkeypatch):
    """Each form is as exact as it should be for all shapes, in blocks of any size, with all that an epilogue has."""
    (x, weight, bias, grad), (window, group) = _problem(case, np.float32)
    problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
    rng = np.random.default_rng(8)
    scale, slope = rng.uniform(0.5, 2, len(bias)).astype("f"), rng.uniform(-0.5, 0.5, len(bias)).astype("f")
    wide = [a.astype(np.float64) for a in (x, weight, np.zeros_like(bias), grad)]
    sums, expected_grad, *_ = _reference(*wide, window, group)
    for size in (1 << 20, 1 << 14):
        monkeypatch.setattr(winograd_panels, "_BLOCK_BYTES", size)
        method = PanelTiles(winograd_panels.plan_of_form(problem, step, 1e6))
        for given in [Epilogue(None, bias, 0.0), Epilogue(scale, bias, slope), Epilogue(None, None, slope, grad)]:
            out = np.full_like(grad, np.nan)
            method.run(x, weight, given, out)
            _close(out, _ended(sums, given.scale, given.bias, given.slope, 0 if given.addend is None else grad))
        back = problem.for_data().turned()
        grad_x = np.full_like(x, np.nan)
        method = PanelTiles(winograd_panels.plan_of_form(back, step, 1e6), turned=True)
        method.run(grad, weight, Epilogue(None, None, 1.0), grad_x)
        _close(grad_x, expected_grad)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("panels")])
def test_cases_that_go_by_panels_do(case):
    for dtype in (np.float32, np.float64):
        (x, weight, _, grad), (window, group) = _problem(case, dtype)
        problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
        chosen = winograd_panels.make_plan(problem) is None
        assert isinstance(choose(problem), Panels if chosen else PanelTiles) == (vector_length(dtype) >= ROWS)


@pytest.mark.skipif(vector_length(np.float32) < 16, reason="panels are for wide registers")
def test_small_layers_have_one_kind_of_convolution():
    """LeNet's first layer would be quicker by blocks, which took longer to compile than all the rest of the net."""
    for x, weight, out in [((1, 1, 28, 28), (20, 1, 5, 5), (24, 24)), ((64, 20, 12, 12), (50, 20, 5, 5), (8, 8))]:
        window = Window(weight[2:], (1, 1), (0, 0), (1, 1))
        problem = Problem.forward(x, weight, (x[0], weight[0], *out), window, 1, itemsize=4)
        assert isinstance(choose(problem), Panels)


@pytest.mark.parametrize("case", ["3x3", "dilated", "groups", "wide", "stride", "three_axes"])
def test_blocks_compute_what_small_layers_do_otherwise(case):
    (x, weight, bias, grad), (window, group) = _problem(case, np.float32)
    problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
    task, (grid,) = problem.passes()
    out = np.full_like(grad, np.nan)
    Blocks(make_block_plan(task, grid)).run(x, weight, Epilogue(bias=bias), out)
    _close(out, _reference(x, weight, bias, grad, window, group)[0])


def test_an_image_of_several_bands_of_panels():
    (x, weight, _, grad), (window, group) = _problem("panels_bands", np.float32)
    plan = make_plan(Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize))
    assert plan.layout.bands > 2
    assert plan.tables.bands[-1, 3] - plan.tables.bands[-1, 2] < plan.tables.bands[0, 3] - plan.tables.bands[0, 2]


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("depthwise")])
def test_depthwise_reads_the_image_where_it_lies(case):
    (x, weight, _, grad), (window, group) = _problem(case, np.float32)
    problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
    expected = vector_length("f4") >= 8
    assert isinstance(choose(problem), Planes) == expected
    assert isinstance(choose(problem.for_data()), Planes) == expected
    assert isinstance(choose_gradient(problem.for_weight()), PlanesGradient) == expected


def test_depthwise_gradient_ignores_pixels_that_no_window_reaches():
    """Column 4 of 5 belongs to no window of stride 2 and size 2: that it is infinite must not matter."""
    x, grad, grad_weight = (np.ones(shape, np.float32) for shape in ((1, 3, 4, 5), (1, 3, 2, 2), (3, 1, 2, 2)))
    x[..., 4] = np.inf
    convolution.backward_weight(x, grad, grad_weight, None, Window((2, 2), (2, 2), (0, 0), (1, 1)), 3)
    np.testing.assert_array_equal(grad_weight, 5)


def test_cases_with_few_outputs_go_by_planes():
    for case in ("few_outputs", "few_outputs_one_axis"):
        (x, weight, _, grad), (window, group) = _problem(case, np.float32)
        problem = Problem.forward(x.shape, weight.shape, grad.shape, window, group, x.itemsize)
        assert isinstance(choose(problem), Spread)
        assert isinstance(choose_gradient(problem.for_weight()), SpreadGradient)
