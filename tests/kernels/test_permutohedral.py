"""The permutohedral lattice against one kept in a dictionary, and the promises of a symmetric filter."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels import permutohedral

Lattice = tuple[np.ndarray, np.ndarray, np.ndarray]


def build(features: np.ndarray, dtype: type = np.float64) -> Lattice:
    points, dims = features.shape
    vertices, weights = np.empty((points, dims + 1), np.int32), np.empty((points, dims + 1), dtype)
    neighbours, count = np.empty((dims + 1, points * (dims + 1), 2), np.int32), np.zeros(1, np.int64)
    permutohedral.build(features.astype(np.float32), vertices, weights, neighbours, count)
    return vertices, weights, neighbours[:, : count[0]].copy()


def filtered(values: np.ndarray, lattice: Lattice, reverse: bool = False) -> np.ndarray:
    out = np.full_like(values, np.nan)
    permutohedral.apply(values, *lattice, out, reverse)
    return out


def elevate(features: np.ndarray) -> np.ndarray:
    """Points in the hyperplane of D + 1 coordinates, scaled so that the filter's deviation is 1."""
    dims = features.shape[1]
    basis = np.zeros((dims + 1, dims))
    for j in range(dims):
        basis[: j + 1, j], basis[j + 1, j] = 1, -(j + 1)
        basis[:, j] /= np.sqrt((j + 1) * (j + 2))
    return features @ basis.T * np.sqrt(2 / 3) * (dims + 1)


def enclosing_simplex(point: np.ndarray) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Vertices around a point and its barycentric coordinates, solved for as a linear system."""
    side = len(point)
    below = np.floor(point / side) * side
    # Coordinates that are multiples of the side and add up to 0: raise those with the largest remainder.
    steps = round(-below.sum() / side)
    order = np.argsort(-(point - below), kind="stable")
    below[order[:steps]] += side
    order = np.argsort(-(point - below), kind="stable")
    corners = []
    for k in range(side):
        corner = below + k
        corner[order[side - k :]] -= side
        corners.append(corner)
    system = np.vstack([np.array(corners).T, np.ones(side)])
    weights = np.linalg.lstsq(system, np.append(point, 1), rcond=None)[0]
    return [tuple(int(c) for c in corner) for corner in corners], weights


def naive(values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Splat, blur and slice with a dictionary from coordinates to values."""
    simplices = [enclosing_simplex(point) for point in elevate(features)]
    grid: dict[tuple[int, ...], np.ndarray] = {}
    for i, (corners, weights) in enumerate(simplices):
        for corner, weight in zip(corners, weights, strict=True):
            grid[corner] = grid.get(corner, 0) + weight * values[:, i]
    side = features.shape[1] + 1
    for axis in range(side):
        step = -np.ones(side, int)
        step[axis] += side

        def at(key: tuple[int, ...], direction: np.ndarray, old: dict[tuple[int, ...], np.ndarray] = grid):
            return old.get(tuple(int(c) for c in np.array(key) + direction), 0)

        grid = {key: value + 0.5 * (at(key, step) + at(key, -step)) for key, value in grid.items()}
    alpha = 1 / (1 + 2.0 ** (1 - side))
    sliced = [sum(w * grid[c] for c, w in zip(*simplex, strict=True)) for simplex in simplices]
    return alpha * np.array(sliced).T


@pytest.mark.parametrize("dims", [1, 2, 3, 5])
def test_equals_a_lattice_in_a_dictionary(dims: int) -> None:
    rng = np.random.default_rng(dims)
    features, values = 2 * rng.standard_normal((60, dims)), rng.standard_normal((6, 60))
    np.testing.assert_allclose(filtered(values, build(features)), naive(values, features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 5])
def test_weights_are_barycentric(dims: int) -> None:
    features = 3 * np.random.default_rng(0).standard_normal((200, dims))
    vertices, weights, neighbours = build(features)
    assert weights.min() >= -1e-5
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert vertices.min() == 1
    assert vertices.max() == neighbours.shape[1]
    assert len({tuple(sorted(row)) for row in vertices}) > 1


@pytest.mark.parametrize("dims", [2, 5])
def test_neighbours_are_mutual(dims: int) -> None:
    neighbours = build(np.random.default_rng(1).standard_normal((100, dims)))[2]
    for before, after in np.moveaxis(neighbours, 2, 1):
        known = np.flatnonzero(before)
        assert known.size
        np.testing.assert_array_equal(after[before[known] - 1], known + 1)


@pytest.mark.parametrize("dims", [2, 5])
def test_reverse_is_the_adjoint(dims: int) -> None:
    rng = np.random.default_rng(2)
    lattice = build(rng.standard_normal((80, dims)))
    a, b = rng.standard_normal((2, 5, 80))
    np.testing.assert_allclose((filtered(a, lattice) * b).sum(), (a * filtered(b, lattice, True)).sum(), rtol=1e-10)


def test_is_linear_and_treats_channels_alike() -> None:
    rng = np.random.default_rng(3)
    lattice = build(rng.standard_normal((50, 2)))
    a, b = rng.standard_normal((2, 9, 50))
    both = filtered(2 * a + b, lattice)
    np.testing.assert_allclose(both, 2 * filtered(a, lattice) + filtered(b, lattice), atol=1e-10)
    np.testing.assert_array_equal(filtered(a[4:5].copy(), lattice)[0], filtered(a, lattice)[4])


def test_follows_a_gaussian() -> None:
    """A lattice is no exact Gaussian, but near one on a dense grid."""
    side = 31
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    lattice = build(np.stack([x.ravel(), y.ravel()], 1) / 4)
    impulse = np.zeros((1, side * side))
    impulse[0, side * side // 2] = 1
    found = filtered(impulse, lattice).reshape(side, side)
    exact = np.exp(-((x - side // 2) ** 2 + (y - side // 2) ** 2) / 32)
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.97


def test_float32_equals_float64() -> None:
    rng = np.random.default_rng(4)
    features, values = rng.standard_normal((70, 5)), rng.standard_normal((3, 70))
    single = filtered(values.astype(np.float32), build(features, np.float32))
    np.testing.assert_allclose(single, filtered(values, build(features)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 8, 21, 40])
def test_factors_go_before_and_after_and_results_are_added(channels: int) -> None:
    rng = np.random.default_rng(channels)
    lattice = build(rng.standard_normal((77, 5)))
    values, before, after = (rng.standard_normal((n, 77)) for n in (channels, 1, 1))
    out = np.ones_like(values)
    permutohedral.apply(values, *lattice, out, False, before, after, adds=True)
    np.testing.assert_allclose(out, 1 + after * filtered(values * before, lattice), atol=1e-12)


def test_channels_do_not_depend_on_their_neighbours() -> None:
    """Threads share the channels; how they are put side by side must not show."""
    rng = np.random.default_rng(3)
    lattice, values = (
        build(rng.standard_normal((301, 3)), np.float32),
        rng.standard_normal((37, 301)).astype(np.float32),
    )
    whole = filtered(values, lattice)
    for part in (slice(0, 5), slice(3, 24), slice(30, 37)):
        assert np.array_equal(filtered(values[part], lattice), whole[part])
