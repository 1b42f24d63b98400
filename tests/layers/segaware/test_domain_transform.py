"""DomainTransform: its weights and their bounds, padding, options."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase
from tests.kernels.test_domain_transform import reference

SIZES = np.array([[5, 6], [4, 3]], np.float32).reshape(2, 2, 1, 1)
EDGES = np.random.default_rng(1).random((2, 1, 5, 6))
BOTTOMS = ((2, 3, 5, 6), EDGES, SIZES)
both_types = pytest.mark.parametrize("kind", ["DomainTransform", "DomainTransformForwardOnly"])


def case(options: str, bottoms: tuple[object, ...] = BOTTOMS, kind: str = "DomainTransform") -> LayerCase:
    return LayerCase(kind, f"domain_transform_param {{ {options} }}", bottoms=bottoms)


@both_types
@pytest.mark.parametrize("min_weight", [0, 0.375])
def test_equals_the_definition(kind: str, min_weight: float) -> None:
    options = f"spatial_sigma: 6 range_sigma: 4 num_iter: 3 min_weight: {min_weight}"
    layer, bottom, top = case(options, kind=kind).build(np.float64)
    layer.forward(bottom, top)
    sigmas = [6 * np.sqrt(3) * 2 ** (3 - i) / np.sqrt(4**3 - 1) for i in (1, 2, 3)]
    # The map is a derivative; its distance to the next pixel is 1 + sigma_s / sigma_r * |derivative|.
    weights = np.stack([np.exp(-np.sqrt(2) / s * (1 + EDGES[:, 0] * 6 / 4)) for s in sigmas]).clip(min_weight, 1)
    sizes = SIZES.reshape(2, 2).astype(int)
    np.testing.assert_allclose(top[0].data, reference(bottom[0].data, weights, sizes), rtol=1e-6)
    np.testing.assert_array_equal(top[0].data[1, :, 4:], bottom[0].data[1, :, 4:])
    np.testing.assert_array_equal(top[0].data[1, :, :, 3:], bottom[0].data[1, :, :, 3:])


def edge_gradient(min_weight: float, edges: np.ndarray) -> np.ndarray:
    options = f"spatial_sigma: 6 range_sigma: 4 num_iter: 1 min_weight: {min_weight}"
    layer, bottom, top = case(options, ((1, 2, 5, 6), edges, SIZES[:1])).build(np.float64)
    layer.forward(bottom, top)
    top[0].diff[...] = np.arange(60).reshape(1, 2, 5, 6)
    layer.backward(top, [True, True, False], bottom)
    return bottom[1].diff.copy()


def test_the_edges_gradient_ignores_the_bounds() -> None:
    """At the lower bound the gradient is as of a weight of that size; the original has it so."""
    edges = np.full((1, 1, 5, 6), 0.5)
    weight = float(np.exp(-np.sqrt(2) / 6 * (1 + 0.75)))
    np.testing.assert_allclose(
        edge_gradient(float(np.float32(weight)), edges + 100), edge_gradient(0, edges), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "bottoms", "rule"),
    [
        ("spatial_sigma: 0", BOTTOMS, "spatial_sigma must be positive"),
        ("range_sigma: -1", BOTTOMS, "range_sigma must be positive"),
        ("num_iter: 0", BOTTOMS, "num_iter must be positive"),
        ("min_weight: -0.1", BOTTOMS, "min_weight must lie in"),
        ("", ((2, 3, 5, 6), (2, 2, 5, 6), SIZES), "values and edges must have shapes"),
        ("", ((2, 3, 5, 6), (2, 1, 5, 5), SIZES), "values and edges must have shapes"),
        ("", ((2, 3, 5, 6), EDGES, SIZES[:1]), "a height and a width for each image"),
    ],
)
@both_types
def test_options_that_cannot_be(kind: str, options: str, bottoms: tuple[object, ...], rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        case(options, bottoms, kind).build()


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (0, 3)], ids=str)
def test_sizes_must_lie_within_the_values(size: tuple[int, int]) -> None:
    layer, bottom, top = case("", ((1, 3, 5, 6), EDGES[:1], np.array(size).reshape(1, 2, 1, 1))).build()
    with pytest.raises(ShapeError, match=f"at most that of the values, 5x6. Received: {size[0]}x{size[1]}"):
        layer.forward(bottom, top)
