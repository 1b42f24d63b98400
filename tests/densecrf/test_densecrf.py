"""The stand-in for pydensecrf: its recorded answers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import densecrf
from segcaffe.densecrf import utils
from segcaffe.errors import ShapeError
from tests.densecrf import cases

RECORDED = Path(__file__).with_name("recorded.npz")


def test_answers_are_pydensecrfs() -> None:
    found = cases.run(densecrf, utils)
    with np.load(RECORDED) as recorded:
        assert set(recorded) == set(found)
        for name, wanted in recorded.items():
            assert found[name].shape == wanted.shape
            error = np.abs(found[name] - wanted).max() / np.abs(wanted).max()
            assert error < 1e-5, f"{name}: {error:.1e}"


def test_inference_makes_the_divergence_small() -> None:
    random = np.random.RandomState(0)
    crf = densecrf.DenseCRF2D(9, 8, 3)
    crf.setUnaryEnergy(random.rand(3, 72))
    crf.addPairwiseBilateral(9, 20, random.randint(0, 256, (8, 9, 2)), compat=1)
    q, tmp1, tmp2 = crf.startInference()
    before = crf.klDivergence(q)
    for _ in range(5):
        crf.stepInference(q, tmp1, tmp2)
    np.testing.assert_allclose(q, crf.inference(5), rtol=1e-6)
    assert crf.klDivergence(q) < before


def test_old_names_of_energies() -> None:
    with pytest.deprecated_call(match="now unary_from_labels"):
        found = utils.compute_unary([0, 1, 2], 2)
    np.testing.assert_array_equal(found, utils.unary_from_labels([0, 1, 2], 2, 0.5))
    probabilities = np.array([[0.25, 1e-9], [0.75, 1 - 1e-9]])
    for sure, scale in ((1, None), (0.5, 0.5)):
        with pytest.deprecated_call(match="now unary_from_softmax"):
            found = utils.softmax_to_unary(probabilities, sure)
        np.testing.assert_array_equal(found, utils.unary_from_softmax(probabilities, scale, clip=None))


def test_what_is_refused() -> None:
    crf = densecrf.DenseCRF2D(4, 3, 2)
    image = np.zeros((3, 4, 3), np.uint8)
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: crf.setUnaryEnergy(np.zeros((2, 11))), r"must have shape \(classes, points\) = \(2, 12\)"),
        (lambda: crf.addPairwiseEnergy(np.zeros((2, 11)), 3), "with 12 points"),
        (lambda: crf.addPairwiseGaussian((1, 2, 3), 3), "sxy is a positive number, or 2 of them"),
        (lambda: crf.addPairwiseGaussian(0, 3), "sxy is a positive number"),
        (lambda: crf.addPairwiseGaussian(3, np.zeros(3)), r"compat is a number, or has shape \(2,\)"),
        (lambda: crf.addPairwiseGaussian(3, 3, normalization=9), "The normalization is NO_NORMALIZATION"),
        (lambda: crf.addPairwiseBilateral(3, 3, image[:2], 3), "with 3x4 pixels"),
        (lambda: densecrf.DenseCRF(0, 2), "needs points and classes"),
        (lambda: utils.unary_from_labels([3], 2, 0.5), "Labels must lie in 0 to 2"),
        (lambda: utils.unary_from_labels([1], 2, 1), "gt_prob must lie between 0 and 1"),
        (lambda: utils.create_pairwise_gaussian([1], (3, 4)), "sdims must be 2 positive numbers"),
    ]
    for call, sentence in refused:
        with pytest.raises(ShapeError, match=sentence):
            call()
