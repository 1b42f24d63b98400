"""Accuracy and SegAccuracy against loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import DataError, ShapeError
from segcaffe.testing import LayerCase


def tops(layer_type, options, *bottoms, number=1):
    layer, bottom, top = LayerCase(layer_type, options, bottoms, tops=number).build()
    layer.forward(bottom, top)
    return [blob.data for blob in top]


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("ignore", [None, 1, 255])
def test_accuracy_equals_a_loop(top_k, ignore):
    rng = np.random.default_rng(2)
    # Few different scores, so that there are ties.
    scores, labels = rng.integers(0, 4, (3, 4, 11)).astype(float), rng.integers(0, 4, (3, 11))
    if ignore is not None:
        labels[rng.random(labels.shape) < 0.3] = ignore
    hits, seen = np.zeros(4), np.zeros(4)
    for n, i in itertools.product(range(3), range(11)):
        k = labels[n, i]
        if k == ignore:
            continue
        seen[k] += 1
        hits[k] += sum(scores[n, c, i] >= scores[n, k, i] for c in range(4) if c != k) < top_k
    option = f"ignore_label: {ignore}" if ignore is not None else ""
    total, per_class = tops("Accuracy", f"accuracy_param {{ top_k: {top_k} {option} }}", scores, labels, number=2)
    assert float(total) == pytest.approx(hits.sum() / seen.sum())
    np.testing.assert_allclose(per_class, hits / np.maximum(seen, 1), rtol=1e-6)


def test_nothing_to_count_is_accuracy_zero():
    total, per_class = tops("Accuracy", "accuracy_param { ignore_label: 3 }", np.ones((2, 4)), np.full(2, 3), number=2)
    assert float(total) == 0
    assert not per_class.any()


def by_hand(scores, labels, ignore):
    """The three measures by the definition of each."""
    classes = scores.shape[1]
    # argmax of the reversed classes finds the last of equals.
    predicted = classes - 1 - scores[:, ::-1].argmax(axis=1)
    counts = ~np.isin(labels, ignore)
    predicted, labels = predicted[counts], labels[counts]
    recalls = [(predicted[labels == k] == k).mean() for k in range(classes) if (labels == k).any()]
    overlaps = []
    for k in range(classes):
        union = ((labels == k) | (predicted == k)).sum()
        overlaps.append(((labels == k) & (predicted == k)).sum() / union if union else 1.0)
    return (predicted == labels).mean(), np.mean(recalls), np.mean(overlaps)


@pytest.mark.parametrize("ignore", [(), (255,), (0, 255)])
def test_seg_accuracy_equals_its_definition(ignore):
    rng = np.random.default_rng(7)
    # Class 5 neither occurs nor is predicted; scores have ties.
    scores, labels = rng.integers(0, 4, (2, 6, 20, 30)).astype(float), rng.integers(0, 5, (2, 20, 30))
    scores[:, 5] = -1
    if 255 in ignore:
        labels[rng.random(labels.shape) < 0.2] = 255
    options = "".join(f"ignore_label: {label} " for label in ignore)
    (found,) = tops("SegAccuracy", f"seg_accuracy_param {{ {options} }}", scores, labels[:, None])
    assert found.shape == (1, 1, 1, 3)
    np.testing.assert_allclose(found.reshape(3), by_hand(scores, labels, ignore), rtol=1e-6)


@pytest.mark.parametrize("reset", [True, False])
def test_seg_accuracy_over_batches(reset):
    rng = np.random.default_rng(8)
    batches = [(rng.standard_normal((1, 3, 4, 4)), rng.integers(0, 3, (1, 1, 4, 4))) for _ in range(3)]
    options = f"seg_accuracy_param {{ reset: {str(reset).lower()} }}"
    layer, bottom, top = LayerCase("SegAccuracy", options, batches[0]).build()
    for scores, labels in batches:
        bottom[0].data[...], bottom[1].data[...] = scores, labels
        layer.forward(bottom, top)
    seen = batches[-1:] if reset else batches
    expected = by_hand(np.concatenate([s for s, _ in seen]), np.concatenate([x[:, 0] for _, x in seen]), ())
    np.testing.assert_allclose(top[0].data.reshape(3), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer_type", "options", "bottoms", "message"),
    [
        ("Accuracy", "accuracy_param { top_k: 6 }", ((2, 5), (2,)), r"top_k must lie in 1\.\.5"),
        ("Accuracy", "accuracy_param { top_k: 0 }", ((2, 5), (2,)), "top_k"),
        ("Accuracy", "", ((2, 5, 3), (2, 2)), "one label for each position"),
        ("Accuracy", "accuracy_param { axis: 3 }", ((2, 5), (2,)), "axis must lie in"),
        ("SegAccuracy", "", ((2, 5, 3), (2, 3)), "needs scores"),
        ("SegAccuracy", "", ((2, 5, 3, 4), (2, 1, 4, 3)), "needs scores"),
    ],
)
def test_what_does_not_fit_is_refused(layer_type, options, bottoms, message):
    with pytest.raises(ShapeError, match=message):
        LayerCase(layer_type, options, bottoms).build()


@pytest.mark.parametrize("layer_type", ["Accuracy", "SegAccuracy"])
@pytest.mark.parametrize("label", [4, -1, np.nan])
def test_a_label_that_is_no_class_is_named(layer_type, label):
    labels = np.zeros((1, 1, 2, 2))
    labels[0, 0, 1, 0] = label
    with pytest.raises(DataError, match=rf"\({layer_type}\): label .* \(number 2 of 4\) is not one of the 4 classes"):
        tops(layer_type, "", np.zeros((1, 4, 2, 2)), labels)
