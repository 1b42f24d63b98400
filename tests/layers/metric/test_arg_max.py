from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def reference(values: np.ndarray, k: int) -> list[tuple[int, float]]:
    """Pairs (index, value) of the k largest, the larger index first where equal."""
    pairs = sorted(((v, i) for i, v in enumerate(values)), reverse=True)[:k]
    return [(i, v) for v, i in pairs]


def run(options: str, x: np.ndarray) -> np.ndarray:
    layer, bottom, top = LayerCase("ArgMax", f"argmax_param {{ {options} }}", (x,)).build()
    layer.forward(bottom, top)
    return top[0].data


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_along_an_axis(axis: int, k: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (5, 6, 7)).astype(np.float32)
    indices = run(f"axis: {axis} top_k: {k}", x)
    values = run(f"axis: {axis} top_k: {k} out_max_val: true", x)
    expected = np.apply_along_axis(lambda row: [i for i, _ in reference(row, k)], axis, x)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shape", [(4, 9), (4, 3, 3), (4, 3, 3, 2), (4, 3, 2, 2, 2)])
def test_over_items(shape: tuple[int, ...], k: int) -> None:
    x = np.random.default_rng(1).integers(0, 4, shape).astype(np.float32)
    indices, both = run(f"top_k: {k}", x), run(f"top_k: {k} out_max_val: true", x)
    tail = (1,) * (len(shape) - 3)
    assert indices.shape == (4, 1, k, *tail)
    assert both.shape == (4, 2, k, *tail)
    for n in range(4):
        expected = reference(x[n].ravel(), k)
        np.testing.assert_array_equal(indices[n].ravel(), [i for i, _ in expected])
        np.testing.assert_array_equal(both[n].reshape(2, k), np.transpose(expected))


def test_large_maps_are_divided_among_threads() -> None:
    x = np.random.default_rng(2).integers(0, 6, (2, 21, 97, 101)).astype(np.float32)
    expected = 20 - np.argmax(x[:, ::-1], axis=1)
    np.testing.assert_array_equal(run("axis: 1", x)[:, 0], expected)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("top_k: 0", "top_k must be at least 1"),
        ("top_k: 61", "must not exceed the number of values, 60. Received: 61"),
        ("axis: 1 top_k: 4", "must not exceed the number of values, 3"),
        ("axis: 4", "axis must lie in [-4, 4)"),
    ],
)
def test_what_does_not_fit_is_named(options: str, says: str) -> None:
    with pytest.raises(SegcaffeError) as error:
        run(options, np.zeros((2, 3, 4, 5)))
    assert str(error.value).startswith('layer "layer" (ArgMax): ')
    assert says in str(error.value)
