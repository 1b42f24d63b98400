"""TripletLoss and CenterLoss against their rules written out one vector at a time."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.metric_learning import CASES


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).sum())


def _expected(case: LayerCase) -> float:
    options, inputs = case.layer_param().triplet_loss_param, case.inputs(np.float64)
    margin, total = options.margin, 0.0
    if len(inputs) == 3:
        for a, b, c in zip(*inputs, strict=True):
            total += max(0, margin + _distance(a, b) - _distance(a, c))
        return total / len(inputs[0]) / 2
    size = 2 + options.num_triplets
    for first in range(0, len(inputs[0]), size):
        reference, like, *unlikes = inputs[0][first : first + size]
        near = _distance(reference, like)
        total += near
        for far in (_distance(reference, unlike) for unlike in unlikes):
            total += max(0, 1 - far / (near + margin) if options.losstype else margin + near - far)
    return total / (len(inputs[0]) // size) / 2


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "TripletLoss"], ids=lambda case: case.id)
def test_triplets(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, _expected(case), rtol=1e-12)


def test_labels_of_sets_get_no_gradient() -> None:
    layer, bottom, top = next(case for case in CASES if case.id == "TripletLoss_ratio").build()
    layer.forward(bottom, top)
    bottom[1].diff[...] = 5
    layer.backward(top, [True, True], bottom)
    assert not bottom[1].diff.any()


@pytest.mark.parametrize(
    ("options", "bottoms", "words"),
    [
        ("", ((5, 4), (5, 4), (5, 3)), "must have one shape"),
        ("", ((9, 4), (9,)), "sets of 5 vectors"),
        ("num_triplets: 0", ((8, 4), (8,)), "num_triplets must be 1 or more"),
        ("losstype: 2", ((10, 4), (10,)), "losstype 0 or 1"),
        ("margin: 0", ((10, 4), (10,)), "margin above 0"),
    ],
)
def test_what_is_no_triplet(options: str, bottoms: tuple, words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("TripletLoss", f"triplet_loss_param {{ {options} }}", bottoms).build()


def test_centers() -> None:
    (case,) = (case for case in CASES if case.type == "CenterLoss")
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    vectors, labels = bottom[0].data.reshape(5, 6), bottom[1].data.astype(int)
    centers = layer.blobs[0].data
    np.testing.assert_allclose(
        top[0].data, sum(_distance(v, centers[k]) for v, k in zip(vectors, labels, strict=True)) / 10, rtol=1e-12
    )
    top[0].diff[...] = 3
    layer.blobs[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    expected = np.ones((4, 6))
    for k in range(4):
        own = vectors[labels == k]
        expected[k] += (centers[k] - own).sum(axis=0) / (len(own) + 1)
    np.testing.assert_allclose(layer.blobs[0].diff, expected, rtol=1e-12)
    np.testing.assert_allclose(bottom[0].diff.reshape(5, 6), 3 * (vectors - centers[labels]) / 5, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "num_output, the number of classes, must be given"),
        ("num_output: 2", "label 3 .* is not one of the 2 classes"),
        ('num_output: 4 distance_type: "L1"', "distance_type must be L2"),
    ],
)
def test_what_centers_do_not_take(options: str, words: str) -> None:
    case = LayerCase("CenterLoss", f"center_loss_param {{ {options} }}", ((2, 3), np.array([0, 3])))

    def run() -> None:
        layer, bottom, top = case.build()
        layer.forward(bottom, top)

    with pytest.raises(SegcaffeError, match=words):
        run()
