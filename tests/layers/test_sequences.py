"""Layers that read sequences against all paths written out, and against LSTM."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.layers.metric.sequences import edit_distance
from segcaffe.testing import LayerCase
from tests.cases.sequences import CASES, INDICATORS, LABELS, TARGETS

Array = np.ndarray[Any, Any]


def _reading(path: tuple[int, ...], blank: int, merges: bool) -> list[int]:
    kept = [c for k, c in enumerate(path) if not (merges and k and path[k - 1] == c)]
    return [c for c in kept if c != blank]


def _loss(scores: Array, labels: list[int], blank: int, merges: bool = True) -> float:
    """Minus the logarithm of the probability of all paths that read as the labels; scores (T, C)."""
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    paths = itertools.product(range(scores.shape[1]), repeat=len(scores))
    fitting = (path for path in paths if _reading(path, blank, merges) == labels)
    return -math.log(sum(math.prod(chances[t, c] for t, c in enumerate(path)) for path in fitting))


def _expected(case: LayerCase) -> float:
    scores, *others = case.inputs(np.float64)
    options = case.layer_param().ctc_loss_param
    total = 0.0
    for n in range(scores.shape[1]):
        if len(others) == 1:
            steps, blank, merges, labels = options.time_step or 6, options.blank_label, True, others[0][n].tolist()
            labels = [label for label in labels if label != blank]
            if len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) > steps:
                continue
        else:
            blank = options.blank_index if options.blank_index >= 0 else 4
            steps, merges = next((t for t in range(1, 6) if INDICATORS[t, n] == 0), 6), options.ctc_merge_repeated
            labels = list(itertools.takewhile(lambda label: label >= 0, TARGETS[:, n].tolist()))
            if options.preprocess_collapse_repeated:
                labels = [label for label, _ in itertools.groupby(labels)]
        if steps > options.output_delay:
            total += _loss(scores[options.output_delay : steps, n], labels, blank, merges)
    return total / scores.shape[1]


@pytest.mark.parametrize("case", [c for c in CASES if c.type in ("CtcLoss", "CTCLoss")], ids=lambda case: case.id)
def test_ctc_is_the_sum_over_all_paths(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, _expected(case), rtol=1e-9)


def test_ctc_of_long_sequences_is_finite() -> None:
    scores = 30 * np.random.default_rng(0).standard_normal((2000, 1, 40))
    labels = np.random.default_rng(1).integers(1, 40, (1, 500))
    layer, bottom, top = LayerCase("CtcLoss", bottoms=(scores, labels)).build()
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    assert np.isfinite(top[0].data)
    np.testing.assert_allclose(bottom[0].diff.sum(axis=2), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "bottoms", "words"),
    [
        ("alphabet_size: 4", ((6, 3, 5), LABELS), "alphabet_size is the number of classes. Received: 4 of 5"),
        ("time_step: 7", ((6, 3, 5), LABELS), "time_step must be 0 or more, and 6 at most"),
        ("blank_label: 5", ((6, 3, 5), LABELS), "blank_label must be"),
        ("", ((6, 2, 5), LABELS), "labels must be"),
        ("", ((6, 3, 2), LABELS), "labels are classes, 0..1"),
        ("", ((6, 3, 5), LABELS - 3), "labels are classes, 0..4"),
        ("", ((6, 3, 5), INDICATORS, TARGETS + 2), "not the blank, 4"),
        ("", ((6, 3, 5), INDICATORS, np.zeros((6, 3))), "item 0 has 6 labels, which take 11 steps. Received: 4 steps"),
        ("", ((6, 3, 5), INDICATORS[:4], TARGETS), "indicators must be"),
        ("", (np.full((6, 3, 5), np.nan), LABELS), "must be finite"),
    ],
)
def test_what_ctc_does_not_take(options: str, bottoms: tuple, words: str) -> None:
    def run() -> None:
        layer, bottom, top = LayerCase("CtcLoss", f"ctc_loss_param {{ {options} }}", bottoms).build()
        layer.forward(bottom, top)

    with pytest.raises(SegcaffeError, match=words):
        run()


@pytest.mark.parametrize("case", [c for c in CASES if c.type == "CTCGreedyDecoder"], ids=lambda case: case.id)
def test_decoded_labels(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    options = case.layer_param().ctc_decoder_param
    blank = options.blank_index if options.blank_index >= 0 else 4
    scores, errors = bottom[0].data, []
    for n in range(3):
        steps = next((t for t in range(1, 6) if INDICATORS[t, n] == 0), 6)
        labels = _reading(tuple(scores[:steps, n].argmax(axis=1).tolist()), blank, options.ctc_merge_repeated)
        assert top[0].data[n].ravel().tolist() == labels + [-1] * (6 - len(labels))
        true = [label for label in TARGETS[:, n].tolist() if label >= 0]
        errors.append(edit_distance(np.array(true), np.array(labels)) / max(1, len(true), len(labels)))
        if len(top) > len(bottom) - 1:
            np.testing.assert_allclose(top[1].data[n], -scores[:steps, n].max(axis=1).sum(), rtol=1e-6)
    if len(bottom) == 3:
        np.testing.assert_allclose(top[-1].data.ravel(), 1 - np.mean(errors), rtol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "", 0), ("", "ab", 2), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
)
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(*(np.array([ord(c) for c in text]) for text in (a, b))) == distance


def test_accuracy_of_sequences() -> None:
    (case,) = (case for case in CASES if case.type == "LabelsequenceAccuracy")
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    # The second item has the label twice, a blank between them.
    np.testing.assert_allclose(top[0].data, 2 / 3, rtol=1e-6)


def test_sequences_begin_at_the_first_step() -> None:
    (case,) = (case for case in CASES if case.type == "ContinuationIndicator")
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, [[0] * 3] + [[1] * 3] * 3)


def test_reverse() -> None:
    case = next(case for case in CASES if case.id == "Reverse_axes")
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, np.flip(bottom[0].data, (1, 3)))


def _same_lstm(x: Array, cont: Array, parameters: list[Array]) -> tuple[Any, Any, Any]:
    case = LayerCase("LSTM", "recurrent_param { num_output: 4 }", (x.reshape(5, 2, 3), cont.reshape(5, 2)))
    layer, bottom, top = case.build(np.float64)
    for blob, values in zip(layer.blobs, (parameters[0], parameters[2], parameters[1]), strict=True):
        blob.data[...] = values
    return layer, bottom, top


@pytest.mark.parametrize("suffix", ["", "clip", "threshold"])
def test_lstm_is_the_other_lstm(suffix: str) -> None:
    case = next(case for case in CASES if case.type == "Lstm" and case.suffix == suffix)
    layer, bottom, top = case.build(np.float64)
    if suffix:
        bottom[1].data[0] = 1
    cont = bottom[1].data if suffix else np.repeat([0, 1], [2, 8])
    other, other_bottom, other_top = _same_lstm(bottom[0].data, cont, [blob.data for blob in layer.blobs])
    rounds = 2 if suffix else 1
    for run, blobs, out in ((layer, bottom, top), (other, other_bottom, other_top)):
        for _ in range(rounds):
            run.forward(blobs, out)
        out[0].diff[...] = np.random.default_rng(3).standard_normal((10, 4)).reshape(out[0].shape)
        run.backward(out, [True, False], blobs)
    np.testing.assert_allclose(top[0].data.reshape(5, 2, 4), other_top[0].data, rtol=1e-9)
    np.testing.assert_allclose(bottom[0].diff.ravel(), other_bottom[0].diff.ravel(), rtol=1e-9)
    for k, m in enumerate((0, 2, 1)):
        np.testing.assert_allclose(layer.blobs[k].diff, other.blobs[m].diff, rtol=1e-9)


def test_lstm_without_clip_begins_anew() -> None:
    layer, bottom, top = next(case for case in CASES if case.id == "Lstm").build()
    layer.forward(bottom, top)
    first = top[0].data.copy()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, first)


def test_clipped_gradients_of_one_step() -> None:
    """What reaches the input of a lone step is W' z, each number of z within the threshold."""
    x = np.ones((2, 3))
    grads = []
    for options in ("", "clipping_threshold: 0.01"):
        options = f'lstm_param {{ num_output: 4 batch_size: 2 {options} weight_filler {{ type: "constant" }} }}'
        layer, bottom, top = LayerCase("Lstm", options, (x,)).build(np.float64)
        for k, blob in enumerate(layer.blobs):
            blob.data[...] = np.random.default_rng(k).standard_normal(blob.shape)
        layer.forward(bottom, top)
        top[0].diff[...] = np.random.default_rng(9).standard_normal((2, 4))
        layer.backward(top, [True], bottom)
        grads.append(layer.blobs[2].diff.copy())
    assert (np.abs(grads[0]) > 0.02).any()
    assert (np.abs(grads[1]) <= 0.02 + 1e-12).all()


@pytest.mark.parametrize(
    ("options", "bottoms", "words"),
    [
        ("num_output: 0", ((4, 3),), "num_output and batch_size must be positive"),
        ("num_output: 2 batch_size: 3", ((4, 3),), "needs x"),
        ("num_output: 2", ((4, 3), (3,)), "clip needs one number"),
    ],
)
def test_what_lstm_does_not_take(options: str, bottoms: tuple, words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("Lstm", f"lstm_param {{ {options} }}", bottoms).build()
