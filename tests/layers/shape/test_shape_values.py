from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.testing import LayerCase

BIG = (2, 5, 151, 149)


def run(case: LayerCase) -> tuple[list[Blob], list[Blob]]:
    """Forward and backward with random top gradients."""
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    rng = np.random.default_rng(2)
    for blob in top:
        blob.diff[...] = rng.standard_normal(blob.shape)
    layer.backward(top, [layer.allows_gradient(i) for i in range(len(bottom))], bottom)
    return bottom, top


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concat_is_numpy_s(axis: int) -> None:
    bottom, top = run(LayerCase("Concat", f"concat_param {{ axis: {axis} }}", (BIG, BIG, BIG)))
    np.testing.assert_array_equal(top[0].data, np.concatenate([b.data for b in bottom], axis))
    for blob, part in zip(bottom, np.split(top[0].diff, 3, axis), strict=True):
        np.testing.assert_array_equal(blob.diff, part)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_slice_is_numpy_s(axis: int) -> None:
    options = f"slice_param {{ axis: {axis} slice_point: 1 }}"
    bottom, top = run(LayerCase("Slice", options, (BIG,), tops=2))
    for blob, part in zip(top, np.split(bottom[0].data, [1], axis), strict=True):
        np.testing.assert_array_equal(blob.data, part)
    np.testing.assert_array_equal(bottom[0].diff, np.concatenate([t.diff for t in top], axis))


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_tile_is_numpy_s(axis: int) -> None:
    bottom, top = run(LayerCase("Tile", f"tile_param {{ axis: {axis} tiles: 3 }}", (BIG,)))
    repeats = [3 if i == axis else 1 for i in range(4)]
    np.testing.assert_array_equal(top[0].data, np.tile(bottom[0].data, repeats))
    expected = sum(part.astype(np.float64) for part in np.split(top[0].diff, 3, axis))
    np.testing.assert_allclose(bottom[0].diff, expected, rtol=1e-5, atol=1e-5)


def test_split_shares_values_and_adds_gradients() -> None:
    bottom, top = run(LayerCase("Split", bottoms=(BIG,), tops=3))
    assert all(blob.shares_data_with(bottom[0]) for blob in top)
    np.testing.assert_allclose(bottom[0].diff, sum(t.diff.astype(np.float64) for t in top), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [LayerCase("Reshape", "reshape_param { shape { dim: -1 } }"), LayerCase("Flatten")])
def test_shape_changes_share_memory(case: LayerCase) -> None:
    bottom, top = run(case)
    assert top[0].shares_data_with(bottom[0])
    np.testing.assert_array_equal(bottom[0].diff.ravel(), top[0].diff.ravel())


def test_silence_clears_the_gradient_it_is_asked_for() -> None:
    layer, bottom, top = LayerCase("Silence", bottoms=((2, 3), (4,)), tops=0).build()
    for blob in bottom:
        blob.diff[...] = 5
    layer.forward(bottom, top)
    layer.backward(top, [False, True], bottom)
    assert (bottom[0].diff == 5).all()
    assert (bottom[1].diff == 0).all()


def test_eltwise_maxima_that_are_equal_go_to_the_second_bottom_before_the_first_before_later_ones() -> None:
    ones, twos = np.ones(4), np.array([1.0, 2.0, 1.0, 0.0])
    last = np.array([1.0, 2.0, 3.0, 0.0])
    layer, bottom, top = LayerCase("Eltwise", "eltwise_param { operation: MAX }", (ones, twos, last)).build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, [1, 2, 3, 1])
    top[0].diff[...] = [10, 20, 30, 40]
    layer.backward(top, [True] * 3, bottom)
    np.testing.assert_array_equal(bottom[0].diff, [0, 0, 0, 40])
    np.testing.assert_array_equal(bottom[1].diff, [10, 20, 0, 0])
    np.testing.assert_array_equal(bottom[2].diff, [0, 0, 30, 0])


def test_eltwise_minima_that_are_equal_go_to_the_second_bottom_before_the_first_before_later_ones() -> None:
    ones, numbers, last = np.ones(4), np.array([1.0, 0.0, 1.0, 2.0]), np.array([1.0, 0.0, -3.0, 2.0])
    layer, bottom, top = LayerCase("Eltwise", "eltwise_param { operation: MIN }", (ones, numbers, last)).build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, [1, 0, -3, 1])
    top[0].diff[...] = [10, 20, 30, 40]
    layer.backward(top, [True] * 3, bottom)
    np.testing.assert_array_equal(bottom[0].diff, [0, 0, 0, 40])
    np.testing.assert_array_equal(bottom[1].diff, [10, 20, 0, 0])
    np.testing.assert_array_equal(bottom[2].diff, [0, 0, 30, 0])


@pytest.mark.parametrize(("axis", "shape"), [(0, (2, 3)), (1, (3, 4)), (-1, (5,)), (2, ()), (0, (2, 3, 4))])
@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX", "MIN", "DIV"])
def test_eltwise_spreads_its_second_bottom(axis: int, shape: tuple[int, ...], operation: str) -> None:
    rng = np.random.default_rng(3)
    x, z = rng.uniform(1, 2, (2, 3, 4, 5)), rng.uniform(1, 2, shape)
    layer, bottom, top = LayerCase("Eltwise", f"eltwise_param {{ operation: {operation} axis: {axis} }}", (x, z)).build(
        dtype=np.float64
    )
    layer.forward(bottom, top)
    start = axis if axis >= 0 else axis + 4
    combine = {"SUM": np.add, "PROD": np.multiply, "MAX": max, "MIN": min, "DIV": np.divide}[operation]
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape):
        expected[place] = combine(x[place], z[place[start : start + z.ndim]])
    np.testing.assert_allclose(top[0].data, expected, rtol=1e-12)


def test_eltwise_product_gradient_is_exact_at_zero_only_in_its_stable_form() -> None:
    zero, three = np.zeros(2), np.full(2, 3.0)
    layer, bottom, top = LayerCase("Eltwise", "eltwise_param { operation: PROD }", (zero, three)).build()
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [True, True], bottom)
    np.testing.assert_array_equal(bottom[0].diff, [3, 3])
    np.testing.assert_array_equal(bottom[1].diff, [0, 0])


def test_filter_with_nothing_selected_keeps_its_first_shape_until_it_has_run() -> None:
    layer, bottom, top = LayerCase("Filter", bottoms=((3, 2), np.zeros(3))).build()
    assert top[0].shape == (3, 2)
    layer.forward(bottom, top)
    assert top[0].shape == (0, 2)
    layer.reshape(bottom, top)
    assert top[0].shape == (0, 2)
    bottom[1].data[...] = [0, 2, 0]
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, bottom[0].data[1:2])


def test_batch_reindex_adds_the_gradients_of_repeated_items() -> None:
    bottom, top = run(LayerCase("BatchReindex", bottoms=((3, 4), np.array([2, 0, 2]))))
    np.testing.assert_array_equal(top[0].data, bottom[0].data[[2, 0, 2]])
    np.testing.assert_allclose(bottom[0].diff[2], top[0].diff[0] + top[0].diff[2])
    assert not bottom[0].diff[1].any()


@pytest.mark.parametrize(
    ("operation", "formula"),
    [
        ("SUM", np.sum),
        ("MEAN", np.mean),
        ("ASUM", lambda x, axis: np.abs(x).sum(axis)),
        ("SUMSQ", lambda x, axis: (x**2).sum(axis)),
    ],
)
def test_reductions_of_large_blobs(operation: str, formula) -> None:
    options = f"reduction_param {{ operation: {operation} axis: 1 coeff: 0.5 }}"
    bottom, top = run(LayerCase("Reduction", options, (BIG,)))
    expected = 0.5 * formula(bottom[0].data.astype(np.float64).reshape(2, -1), axis=1)
    np.testing.assert_allclose(top[0].data, expected, rtol=1e-5, atol=1e-4)
