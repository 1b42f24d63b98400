"""MultiBoxLoss against SSD's rules written out one box at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.layers.detection.test_detection_output import Box, _decoded, _overlap

PRIORS, CLASSES, ITEMS = 30, 4, 3


def _matched(priors: list[Box], truth: list[Box], threshold: float, per_prediction: bool) -> tuple[list, list]:
    matches, best = [-1] * len(priors), [max([_overlap(p, t) for t in truth], default=0.0) for p in priors]
    pairs = [(_overlap(p, t), -i, -j) for i, p in enumerate(priors) for j, t in enumerate(truth)]
    taken = set()
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap > 1e-6 and matches[-i] == -1 and -j not in taken:
            matches[-i], best[-i] = -j, overlap
            taken.add(-j)
    for i, prior in enumerate(priors):
        if per_prediction and matches[i] == -1 and truth and best[i] >= threshold:
            matches[i] = max(range(len(truth)), key=lambda j: (_overlap(prior, truth[j]), -j))
    return matches, best


def _coded(kind: str, prior: Box, variance: Box, box: Box) -> Box:
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if kind == "CORNER":
        coded = [b - p for b, p in zip(box, prior, strict=True)]
    elif kind == "CORNER_SIZE":
        coded = [(b - p) / s for b, p, s in zip(box, prior, [width, height] * 2, strict=True)]
    else:
        coded = [
            ((box[0] + box[2]) / 2 - (prior[0] + prior[2]) / 2) / width,
            ((box[1] + box[3]) / 2 - (prior[1] + prior[3]) / 2) / height,
            math.log((box[2] - box[0]) / width),
            math.log((box[3] - box[1]) / height),
        ]
    return [c / v for c, v in zip(coded, variance, strict=True)]


def _cross_entropy(scores: Box, label: int) -> float:
    return math.log(sum(math.exp(s) for s in scores)) - scores[label]


def _expected(kind: str, ratio: float | None, per_prediction: bool, inputs: list[np.ndarray]) -> float:
    locations = inputs[0].reshape(ITEMS, PRIORS, 4).tolist()
    scores = inputs[1].reshape(ITEMS, PRIORS, CLASSES).tolist()
    priors, variances = inputs[2].reshape(2, PRIORS, 4).tolist()
    loss, count, given = 0.0, 0, priors
    for n in range(ITEMS):
        if len(inputs) > 5:
            moves = inputs[5].reshape(ITEMS, PRIORS, 4).tolist()[n]
            priors = [_decoded(kind, *each) for each in zip(given, variances, moves, strict=True)]
        is_object = inputs[4].reshape(ITEMS, PRIORS, 2)[n, :, 1] >= 0.4 if len(inputs) > 4 else [True] * PRIORS
        truth = [(int(row[1]), row[3:7]) for row in inputs[3].reshape(-1, 8).tolist() if row[0] == n]
        matches, best = _matched(priors, [box for _, box in truth], 0.5, per_prediction)
        labels = [truth[m][0] if m >= 0 else 0 for m in matches]
        losses = [_cross_entropy(scores[n][p], labels[p]) for p in range(PRIORS)]
        positive = [p for p in range(PRIORS) if matches[p] >= 0]
        negative = [p for p in range(PRIORS) if matches[p] < 0]
        if ratio is not None:
            hard = sorted((p for p in negative if best[p] < 0.5 and is_object[p]), key=lambda p: -losses[p])
            negative = hard[: int(len(positive) * ratio)]
        loss += sum(losses[p] for p in positive + negative)
        for p in positive:
            target = _coded(kind, priors[p], variances[p], truth[matches[p]][1])
            for got, wanted in zip(locations[n][p], target, strict=True):
                d = abs(got - wanted)
                loss += 1.5 * (d * d / 2 if d < 1 else d - 0.5)
        count += len(positive)
    assert count > 3
    return loss / count


def _inputs(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centers, sizes = rng.uniform(0.2, 0.8, (PRIORS, 2)), rng.uniform(0.1, 0.6, (PRIORS, 2))
    priors = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    low = rng.uniform(0, 0.5, (4, 2))
    corners = np.concatenate([low, low + rng.uniform(0.2, 0.5, (4, 2))], axis=1)
    # The second item has no box at all.
    truth = [[item, 1 + i % 3, i, *corners[i], 0] for i, item in enumerate((0, 0, 2, 2))] + [[-1.0] * 8]
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (PRIORS, 1))
    return [
        rng.standard_normal((ITEMS, PRIORS * 4)),
        rng.standard_normal((ITEMS, PRIORS * CLASSES)),
        np.stack([priors, variances]).reshape(1, 2, -1),
        np.array(truth).reshape(1, 1, -1, 8),
    ]


@pytest.mark.parametrize("kind", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize("ratio", [None, 0.7, 3.0])
@pytest.mark.parametrize("per_prediction", [True, False])
def test_one_box_at_a_time(kind: str, ratio: float | None, per_prediction: bool) -> None:
    mining = "mining_type: NONE" if ratio is None else f"neg_pos_ratio: {ratio}"
    match_type = "PER_PREDICTION" if per_prediction else "BIPARTITE"
    options = f"num_classes: {CLASSES} loc_weight: 1.5 code_type: {kind} match_type: {match_type} {mining}"
    inputs = _inputs(len(kind))
    case = LayerCase("MultiBoxLoss", f"multibox_loss_param {{ {options} }}", tuple(inputs))
    layer, bottom, top = case.build(dtype=np.float64)
    layer.forward(bottom, top)
    assert float(top[0].data) == pytest.approx(_expected(kind, ratio, per_prediction, inputs), rel=1e-6)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("kind", ["CORNER", "CENTER_SIZE"])
def test_two_stages(kind: str, stages: int) -> None:
    rng, inputs = np.random.default_rng(stages), _inputs(3)
    inputs += [rng.uniform(0, 1, (ITEMS, PRIORS * 2)), rng.standard_normal((ITEMS, PRIORS * 4)) / 2][:stages]
    options = f"num_classes: {CLASSES} loc_weight: 1.5 code_type: {kind} objectness_score: 0.4"
    layer, bottom, top = LayerCase("MultiBoxLoss", f"multibox_loss_param {{ {options} }}", tuple(inputs)).build(
        dtype=np.float64
    )
    layer.forward(bottom, top)
    expected = _expected(kind, 3.0, True, inputs)
    assert float(top[0].data) == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(_expected(kind, 3.0, True, inputs[:4]), rel=1e-3)


def _run(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)


def test_no_boxes_at_all() -> None:
    inputs = _inputs(0)
    inputs[3] = inputs[3][:, :, -1:]
    case = LayerCase("MultiBoxLoss", f"multibox_loss_param {{ num_classes: {CLASSES} }}", tuple(inputs))
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    assert float(top[0].data) == 0
    layer.backward(top, [True, True, False, False], bottom)
    assert not bottom[0].diff.any()
    assert not bottom[1].diff.any()


@pytest.mark.parametrize(
    ("options", "row", "sentence"),
    [
        ("", None, "num_classes must be given"),
        ("num_classes: 4 background_label_id: 4", None, "background_label_id must be one of the 4 classes"),
        ("num_classes: 4 neg_pos_ratio: 0", None, "neg_pos_ratio must be above 0"),
        ("num_classes: 4 mining_type: HARD_EXAMPLE sample_size: 0", None, "sample_size must be above 0"),
        ("num_classes: 5", None, r"bottom 1 must be \(N, 150\)"),
        ("num_classes: 4", [0, 4, 0, 0.1, 0.1, 0.2, 0.2, 0], "label of a true box .* Received: 4, in item 0"),
        ("num_classes: 4", [0, 0, 0, 0.1, 0.1, 0.2, 0.2, 0], "label of a true box .* Received: 0, in item 0"),
        ("num_classes: 4", [1, 2, 0, 0.1, 0.1, 0.1, 0.2, 0], "need a size above 0"),
    ],
)
def test_what_is_refused(options: str, row: list[float] | None, sentence: str) -> None:
    inputs = _inputs(0)
    if row is not None:
        inputs[3][0, 0, -1] = row
    case = LayerCase("MultiBoxLoss", f"multibox_loss_param {{ {options} }}", tuple(inputs))
    with pytest.raises(SegcaffeError, match=sentence):
        _run(case)
