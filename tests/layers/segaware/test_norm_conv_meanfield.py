"""The window mean-field layers against sums over all pairs of pixels; options; memory."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.kernels.window_meanfield import cpu
from segcaffe.kernels.window_meanfield.pairs import Pairs
from segcaffe.testing import LayerCase
from segcaffe.threads import parallel

TWO_WINDOWS = "kernel_size: 3 pad: 2 dilation: 2 scale: 0.8 kernel_size: 5 pad: 2 dilation: 1 scale: 1.3"
SHAPES = ((2, 3, 5, 6), (2, 3, 5, 6), (2, 4, 5, 6), (2, 2, 5, 6))


def case(options: str, bottoms: tuple[tuple[int, ...], ...] = SHAPES, kind: str = "NormConvMeanfield") -> LayerCase:
    return LayerCase(kind, f"norm_conv_meanfield_param {{ {options} }}", bottoms=bottoms)


def averaging_matrix(
    guide: np.ndarray, kernel: int, dilation: int, scale: float, remove_center: bool, remove_bounds: bool
) -> np.ndarray:
    """(H·W, H·W): the weight of each pixel in each pixel's window."""
    _, height, width = guide.shape
    matrix = np.zeros((height * width, height * width))
    half = kernel // 2
    for y, x in product(range(height), range(width)):
        weights, total = np.zeros((height, width)), 0.0
        for i, j in product(range(-half, half + 1), repeat=2):
            a, b = y + i * dilation, x + j * dilation
            if not (0 <= a < height and 0 <= b < width):
                total += 0 if remove_bounds else 1
            elif not (remove_center and i == j == 0):
                weights[a, b] = np.exp(-scale * 0.5 * ((guide[:, y, x] - guide[:, a, b]) ** 2).sum())
        matrix[y * width + x] = weights.ravel() / (total + weights.sum())
    return matrix


def inference(arrays: list[np.ndarray], matrices: list[np.ndarray], params: list[np.ndarray], count: int) -> np.ndarray:
    """Mean-field iterations of one image, with dense filters."""
    unary, q = (a.reshape(len(a), -1) for a in arrays)
    for _ in range(count):
        p = np.exp(q - q.max(0))
        p /= p.sum(0)
        message = sum(w @ p @ m.T for w, m in zip(params, matrices, strict=False))
        q = unary - params[-1] @ message
    return q


@pytest.mark.parametrize(("center", "bounds"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("iterations", [2, 5])
def test_equals_dense_filters(center: bool, bounds: bool, iterations: int) -> None:
    flags = f"remove_center: {center} remove_center: {center} remove_bounds: {bounds} remove_bounds: {bounds}".lower()
    layer, bottom, top = case(f"num_iterations: {iterations} {TWO_WINDOWS} {flags}").build(np.float64)
    layer.forward(bottom, top)
    params = [blob.data[0, 0] for blob in layer.blobs]
    for n in range(2):
        matrices = [
            averaging_matrix(bottom[3].data[n], 5, 1, 1.3, center, bounds),
            averaging_matrix(bottom[2].data[n], 3, 2, 0.8, center, bounds),
        ]
        expected = inference([bottom[0].data[n], bottom[1].data[n]], matrices, params, iterations)
        np.testing.assert_allclose(top[0].data[n].reshape(3, -1), expected, rtol=1e-6, atol=1e-9)


def test_without_the_spatial_window() -> None:
    options = "num_iterations: 3 kernel_size: 3 pad: 2 dilation: 2 scale: 0.8"
    layer, bottom, top = case(options, SHAPES[:3], "NospConvMeanfield").build(np.float64)
    layer.forward(bottom, top)
    params = [blob.data[0, 0] for blob in layer.blobs]
    assert len(params) == 2
    for n in range(2):
        matrix = averaging_matrix(bottom[2].data[n], 3, 2, 0.8, True, True)
        expected = inference([bottom[0].data[n], bottom[1].data[n]], [matrix], params, 3)
        np.testing.assert_allclose(top[0].data[n].reshape(3, -1), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("kind", "count"), [("NormConvMeanfield", 3), ("NospConvMeanfield", 2)])
def test_parameters_start_as_identities(kind: str, count: int) -> None:
    options = TWO_WINDOWS if count == 3 else "kernel_size: 3 pad: 1 scale: 1"
    layer, bottom, top = case(f"num_iterations: 2 {options}", SHAPES[: count + 1], kind).build()
    layer.blobs.clear()
    layer.setup(bottom, top)
    assert [blob.shape for blob in layer.blobs] == [(1, 1, 3, 3)] * count
    for i, blob in enumerate(layer.blobs):
        np.testing.assert_array_equal(blob.data[0, 0], np.eye(3) * (-1 if i == count - 1 else 1))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (TWO_WINDOWS, "num_iterations must be 2 or more"),
        (f"num_iterations: 1 {TWO_WINDOWS}", "num_iterations must be 2 or more"),
        ("num_iterations: 2 kernel_size: 3 pad: 1", "kernel_size must be given twice"),
        ("num_iterations: 2", "kernel_size must be given twice"),
        (f"num_iterations: 2 {TWO_WINDOWS} stride: 1", "stride must be given twice"),
        (f"num_iterations: 2 {TWO_WINDOWS} pad: 1", "pad must be given twice"),
        (f"num_iterations: 2 {TWO_WINDOWS} remove_center: true", "remove_center must be given twice"),
        (f"num_iterations: 2 {TWO_WINDOWS} stride: 2 stride: 2", "stride 1"),
        ("num_iterations: 2 kernel_size: 3 kernel_size: 3 scale: 1 scale: 1", "as many positions as there are pixels"),
        (f"num_iterations: 2 {TWO_WINDOWS.replace('dilation: 2', 'dilation: 0')}", "dilation must be 1 or more"),
    ],
)
def test_options_that_cannot_be(options: str, rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        case(options).build()


@pytest.mark.parametrize("changed", range(4))
def test_bottoms_must_cover_the_same_pixels(changed: int) -> None:
    shapes = tuple((*shape[:3], 7) if i == changed else shape for i, shape in enumerate(SHAPES))
    with pytest.raises(ShapeError, match="Received: shapes"):
        case(f"num_iterations: 2 {TWO_WINDOWS}", shapes).build()


def test_one_window_takes_options_once() -> None:
    with pytest.raises(ShapeError, match="kernel_size must be given once"):
        case(f"num_iterations: 2 {TWO_WINDOWS}", SHAPES[:3], "NospConvMeanfield").build()


def test_a_missing_scale_is_0_and_says_so() -> None:
    options = "num_iterations: 2 kernel_size: 3 pad: 1 kernel_size: 5 pad: 2"
    with pytest.warns(UserWarning, match="no scale is given"):
        layer, bottom, top = case(options).build()
    layer.forward(bottom, top)
    before = top[0].data.copy()
    bottom[2].data *= 2
    layer.forward(bottom, top)
    np.testing.assert_array_equal(before, top[0].data)


def test_options_without_effect_are_named() -> None:
    with pytest.warns(UserWarning, match="norm, bias_term has no effect"):
        case(f"num_iterations: 2 {TWO_WINDOWS} norm: L1 bias_term: true").build()


@pytest.mark.slow
def test_memory_of_a_full_size_image() -> None:
    """21 classes and a guide of 66 channels at 257 x 257, 13 x 13 and 5 x 5 windows: columns would take 940 MB."""
    shapes = tuple((1, channels, 257, 257) for channels in (21, 21, 66, 2))
    options = (
        "num_iterations: 2 kernel_size: 13 pad: 54 dilation: 9 scale: 1 kernel_size: 5 pad: 2 dilation: 1 scale: 1"
    )
    inputs = [np.zeros(shape, np.float32) for shape in shapes]
    tracemalloc.start()
    try:
        layer, bottom, top = case(options, shapes).build(inputs=inputs)
        layer.forward(bottom, top)
        top[0].diff[...] = 1
        layer.backward(top, [True] * 4, bottom)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6


FAR_TAPS = "kernel_size: 5 pad: 40 dilation: 20 scale: 1 kernel_size: 3 pad: 1 scale: 1"
LONG_ROWS = "kernel_size: 9 pad: 20 dilation: 5 scale: 0.5 kernel_size: 3 pad: 1 scale: 2"
WIDE = {
    "two_windows": ((2, 3, 11, 18), 4, TWO_WINDOWS),
    "more_classes": ((1, 15, 7, 33), 8, TWO_WINDOWS),
    "single_rows": ((1, 3, 4, 40), 4, LONG_ROWS),
    "columns_outside": ((1, 3, 9, 16), 4, FAR_TAPS),
}
"""Images wide enough for sums over pairs of pixels: the scores' shape, channels of the guide, options."""


def wide(name: str, dtype: type, flags: str = "") -> tuple[object, list, list]:
    shape, channels, options = WIDE[name]
    if "dilation" not in options.split("kernel_size")[2]:
        options += " dilation: 1"
    guides = [(shape[0], count, *shape[2:]) for count in (channels, 2)]
    layer, bottom, top = case(f"num_iterations: 3 {options} {flags}", (shape, shape, *guides)).build(dtype)
    rng = np.random.default_rng(5)
    for i, blob in enumerate(bottom):
        blob.data[...] = rng.standard_normal(blob.shape) * (1.0 if i < 2 else 0.4)
    for blob in layer.blobs:
        blob.data[...] += 0.2 * rng.standard_normal(blob.shape)
        blob.diff[...] = 0
    top[0].diff[...] = rng.standard_normal(shape)
    return layer, bottom, top


def run(name: str, dtype: type, flags: str = "") -> list[np.ndarray]:
    """Output and all gradients."""
    layer, bottom, top = wide(name, dtype, flags)
    layer.forward(bottom, top)
    layer.backward(top, [True] * 4, bottom)
    return [top[0].data, *(blob.diff for blob in bottom), *(blob.diff for blob in layer.blobs)]


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let layers take taps one by one, as narrow images do."""
    monkeypatch.setattr(cpu, "is_possible", lambda *_: False)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("removed", [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("name", WIDE)
def test_pairs_of_pixels_equal_taps_one_by_one(
    name: str, removed: tuple[bool, bool], dtype: type, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    center, bounds = removed
    flags = f"remove_center: {center} remove_center: {center} remove_bounds: {bounds} remove_bounds: {bounds}".lower()
    found = run(name, dtype, flags)
    one_by_one(monkeypatch)
    for a, b in zip(found, run(name, dtype, flags), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("center", [True, False])
def test_pairs_of_pixels_equal_dense_filters(center: bool) -> None:
    flags = f"remove_center: {center} remove_center: {center}".lower()
    layer, bottom, top = wide("two_windows", np.float64, flags)
    layer.forward(bottom, top)
    assert isinstance(layer._inference.saved, Pairs)
    params = [blob.data[0, 0] for blob in layer.blobs]
    for n in range(2):
        windows = ((3, 5, 1, 1.3), (2, 3, 2, 0.8))
        matrices = [averaging_matrix(bottom[i].data[n], k, d, s, center, True) for i, k, d, s in windows]
        expected = inference([bottom[0].data[n], bottom[1].data[n]], matrices, params, 3)
        np.testing.assert_allclose(top[0].data[n].reshape(3, -1), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["two_windows", "more_classes"])
def test_results_do_not_depend_on_threads(name: str) -> None:
    before = parallel.num_threads()
    try:
        results = []
        for count in (1, 2, 3, 2):
            parallel.set_num_threads(count)
            results.append(run(name, np.float32))
    finally:
        parallel.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_too_small_for_sums_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel so far from all others that its weights have no sum in float32 before they are scaled."""

    def outlier() -> tuple[bool, np.ndarray]:
        layer, bottom, top = wide("two_windows", np.float32)
        bottom[2].data[0, :, 5, 7] += 20
        layer.forward(bottom, top)
        layer.backward(top, [True] * 4, bottom)
        by_pairs = isinstance(layer._inference.saved, Pairs)
        return by_pairs, np.concatenate([top[0].data.ravel(), *(blob.diff.ravel() for blob in bottom)])

    by_pairs, found = outlier()
    assert not by_pairs
    assert np.isfinite(found).all()
    one_by_one(monkeypatch)
    np.testing.assert_array_equal(found, outlier()[1])


def test_a_second_pass_and_another_size() -> None:
    layer, bottom, top = wide("two_windows", np.float64)
    layer.forward(bottom, top)
    first = top[0].data.copy()
    for blob in bottom:
        blob.reshape(*blob.shape[:2], 6, 21)
        blob.data[...] = 0.3
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    assert top[0].shape == (2, 3, 6, 21)
    layer, bottom, top = wide("two_windows", np.float64)
    for _ in range(2):
        layer.forward(bottom, top)
        layer.backward(top, [True] * 4, bottom)
    np.testing.assert_array_equal(top[0].data, first)


def test_only_the_way_that_was_taken_holds_memory() -> None:
    layer, bottom, top = wide("two_windows", np.float32)
    ordinary = bottom[2].data.copy()
    for shift, by_pairs in ((0, True), (20, False), (0, True)):
        bottom[2].data[...] = ordinary
        bottom[2].data[0, :, 5, 7] += shift
        layer.forward(bottom, top)
        assert isinstance(layer._inference.saved, Pairs) == by_pairs
