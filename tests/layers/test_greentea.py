"""Greentea's layers against their rules written out one pixel, edge and pair at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.greentea import CASES

Array = np.ndarray[Any, Any]


def _cases(*types: str) -> list[LayerCase]:
    return [case for case in CASES if case.type in types]


@pytest.mark.parametrize("case", _cases("MergeCrop", "Mergecrop"), ids=lambda case: case.id)
def test_merged_is_the_first_and_the_middle_of_the_second(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    a, b = bottom[0].data.copy(), bottom[1].data
    for axis in range(2, b.ndim):
        b = b.take(range((b.shape[axis] - a.shape[axis]) // 2, b.shape[axis]), axis).take(range(a.shape[axis]), axis)
    options = case.layer_param().mergecrop_param
    first, second = list(options.forward) or [True, True]
    joined = a * first + b * second if options.operation == 1 else np.concatenate([a * first, b * second], axis=1)
    np.testing.assert_array_equal(top[0].data, joined)


def test_flags_keep_gradients_back() -> None:
    layer, bottom, top = LayerCase("MergeCrop", bottoms=((1, 1, 2, 2), (1, 1, 4, 4))).build()
    top[0].diff[...] = 1
    for blob in bottom:
        blob.diff[...] = 7
    layer.backward(top, [True, True], bottom)
    assert (bottom[0].diff == 1).all()
    assert not bottom[1].diff.any()


@pytest.mark.parametrize(
    ("options", "bottoms", "words"),
    [
        ("", ((1, 1, 4, 4), (1, 1, 3, 5)), "as large as the first"),
        ("operation: ADD", ((1, 1, 4, 4), (1, 2, 5, 5)), "same channels"),
        ("", ((1, 1, 4, 4), (2, 1, 5, 5)), "with the same N"),
        ("forward: true forward: true forward: true", ((1, 1, 4, 4), (1, 1, 5, 5)), "forward is given once for each"),
    ],
)
def test_what_does_not_merge(options: str, bottoms: tuple[tuple[int, ...], ...], words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("MergeCrop", f"mergecrop_param {{ {options} }}", bottoms).build()


@pytest.mark.parametrize(("strided", "plain"), [("ConvolutionSK", "Convolution"), ("PoolingSK", "Pooling")])
def test_strided_kernels_are_dilated_ones(strided: str, plain: str) -> None:
    (case,) = _cases(strided)
    outputs = []
    values = case.inputs()[0]
    for kind in (strided, plain):
        options = case.options if kind == strided else case.options.replace("kstride", "dilation")
        layer, bottom, top = LayerCase(kind, options, (values,)).build()
        for k, blob in enumerate(layer.blobs):
            blob.data[...] = np.random.default_rng(k).standard_normal(blob.shape)
        layer.forward(bottom, top)
        outputs.append(top[0].data)
    np.testing.assert_array_equal(*outputs)


def test_affinities() -> None:
    case = _cases("Affinity")[1]
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    for blob, out, channel in zip(bottom, top, (1, 0), strict=True):
        x = blob.data[:, channel]
        expected = np.zeros((len(x), 2, *x.shape[1:]), np.float32)
        for n, i, j in np.ndindex(len(x), x.shape[1] - 1, x.shape[2] - 1):
            expected[n, :, i, j] = min(x[n, i, j], x[n, i + 1, j]), min(x[n, i, j], x[n, i, j + 1])
        np.testing.assert_array_equal(out.data, expected)


def test_areas_are_numbered_from_the_largest_label_on() -> None:
    labels = np.array([[1, 1, 0, 1], [2, 1, 0, 1], [1, 2, 2, 0]], np.float32).reshape(1, 1, 3, 4)
    layer, bottom, top = LayerCase("ConnectedComponent", bottoms=(labels,)).build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data[0, 0], [[3, 3, 0, 4], [5, 3, 0, 4], [6, 7, 7, 0]])


def test_areas_hang_together() -> None:
    labels = np.random.default_rng(1).integers(-1, 3, (1, 2, 9, 11)).astype(np.float32)
    layer, bottom, top = LayerCase("ConnectedComponent", bottoms=(labels,)).build()
    layer.forward(bottom, top)
    for given, found in zip(labels[0], top[0].data[0], strict=True):
        assert ((found == 0) == (given == 0)).all()
        for axis in (0, 1):
            pairs = [
                (v.take(range(v.shape[axis] - 1), axis), v.take(range(1, v.shape[axis]), axis)) for v in (given, found)
            ]
            both = pairs[0][0] != 0
            np.testing.assert_array_equal((pairs[0][0] == pairs[0][1])[both], (pairs[1][0] == pairs[1][1])[both])
        assert sorted(set(found.ravel()) - {0}) == list(range(3, 3 + _areas(given)))


def _areas(given: Array) -> int:
    """How many areas a search by depth finds."""
    left = {(i, j) for i, j in np.ndindex(given.shape) if given[i, j]}
    areas = 0
    while left:
        areas += 1
        front = [left.pop()]
        while front:
            i, j = front.pop()
            for place in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if place in left and given[place] == given[i, j]:
                    left.remove(place)
                    front.append(place)
    return areas


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_label_must_be_a_whole_number(value: float) -> None:
    labels = np.full((1, 1, 1, 2), value)
    layer, bottom, top = LayerCase("ConnectedComponent", bottoms=(labels,)).build()
    with pytest.raises(SegcaffeError, match="labels must be whole numbers"):
        layer.forward(bottom, top)


def _widest(weights: dict[tuple[int, int], float], vertices: int) -> Array:
    """For each pair of vertices the smallest weight on the path where it is largest."""
    best = np.full((vertices, vertices), -np.inf)
    for (a, b), weight in weights.items():
        best[a, b] = best[b, a] = max(best[a, b], weight)
    for k in range(vertices):
        best = np.maximum(best, np.minimum(best[:, k : k + 1], best[k : k + 1]))
    return best


def _expected(inputs: list[Array]) -> float:
    given, true, areas = (values.astype(np.float64) for values in inputs[:3])
    edges, spatial = given.shape[1], (1,) * (5 - given.ndim) + given.shape[2:]
    steps = inputs[3] if len(inputs) > 3 else np.eye(3)[-edges:]
    total = 0.0
    for n, joins in itertools.product(range(len(given)), (False, True)):
        chosen = (np.minimum if joins else np.maximum)(given[n], true[n]).reshape(edges, *spatial)
        weights = {}
        for e, *place in itertools.product(range(edges), *map(range, spatial)):
            to = tuple(int(p + s) for p, s in zip(place, steps[e], strict=True))
            if all(0 <= t < size for t, size in zip(to, spatial, strict=True)):
                ends = tuple(int(np.ravel_multi_index(v, spatial)) for v in (place, to))
                weights[ends] = max(weights.get(ends, -1), chosen[(e, *place)])
        labels = areas[n, -1 if joins else 0].ravel()
        best = _widest(weights, labels.size)
        pairs = [(a, b) for a, b in itertools.combinations(range(labels.size), 2) if labels[a] and labels[b]]
        wanted = [pair for pair in pairs if (labels[pair[0]] == labels[pair[1]]) == joins]
        total += sum((best[pair] - joins) ** 2 for pair in wanted) / max(1, len(wanted)) / 2
    return total / len(given)


@pytest.mark.parametrize("case", _cases("MalisLoss"), ids=lambda case: case.id)
def test_malis_is_the_mean_over_all_pairs(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, _expected(case.inputs()), rtol=1e-6)


def test_malis_without_pairs_is_nothing() -> None:
    layer, bottom, top = LayerCase("MalisLoss", bottoms=((1, 2, 3, 3), (1, 2, 3, 3), np.zeros((1, 1, 3, 3)))).build()
    layer.forward(bottom, top)
    assert top[0].data == 0


@pytest.mark.parametrize(
    ("bottoms", "words"),
    [
        (((1, 2, 3, 3), (1, 2, 3, 4), (1, 1, 3, 3)), "of one shape"),
        (((1, 2, 3, 3), (1, 2, 3, 3), (1, 3, 3, 3)), "areas must be"),
        (((1, 4, 3, 3), (1, 4, 3, 3), (1, 1, 3, 3)), "need a fourth bottom"),
        (((1, 4, 3, 3), (1, 4, 3, 3), (1, 1, 3, 3), (3, 3)), "3 numbers for each edge"),
    ],
)
def test_what_malis_does_not_take(bottoms: tuple[tuple[int, ...], ...], words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("MalisLoss", bottoms=bottoms).build()


def test_weights_of_the_euclidean_loss() -> None:
    layer, bottom, top = LayerCase("EuclideanLoss", bottoms=((2, 3), (2, 3), (2, 3))).build(np.float64)
    layer.forward(bottom, top)
    a, b, w = (blob.data for blob in bottom)
    np.testing.assert_allclose(top[0].data, ((w * (a - b)) ** 2).sum() / 4)
    with pytest.raises(SegcaffeError, match="all bottoms need as many elements"):
        LayerCase("EuclideanLoss", bottoms=((2, 3), (2, 3), (2, 2))).build()
