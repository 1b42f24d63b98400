"""YOLO's layers against their rules written out one box at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.yolo import BIASES, CASES, GRID, true_boxes

Array = np.ndarray[Any, Any]
PRIORS = [(1.25, 0.75), (0.5, 1.5)]
Box = tuple[float, float, float, float]
"""x, y of the centre, width, height."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _overlap(a: Box, b: Box) -> float:
    sides = [
        min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2) for k in (0, 1)
    ]
    shared = max(sides[0], 0) * max(sides[1], 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _box(raw: Array, b: int, row: int, column: int) -> Box:
    height, width = raw.shape[1:]
    x, y, w, h = raw[8 * b : 8 * b + 4, row, column].tolist()
    return (
        (column + _sigmoid(x)) / width,
        (row + _sigmoid(y)) / height,
        math.exp(w) * PRIORS[b][0] / width,
        math.exp(h) * PRIORS[b][1] / height,
    )


def _softmax(scores: Array) -> Array:
    return np.exp(scores) / np.exp(scores).sum()


def _truth(values: Array, n: int) -> list[tuple[int, Box]]:
    if values.shape[:2] == (1, 1):
        rows = [row for row in values[0, 0] if row[0] == n]
        return [(int(r[1]) - 1, ((r[3] + r[5]) / 2, (r[4] + r[6]) / 2, r[5] - r[3], r[6] - r[4])) for r in rows]
    return [(int(row[0]), tuple(row[1:])) for row in values[n].reshape(-1, 5) if row[3]]


def _slopes(raw: Array, truth: list[tuple[int, Box]], options: Any) -> Array:
    height, width = raw.shape[1:]
    slopes = np.zeros_like(raw)
    for b, row, column in np.ndindex(2, height, width):
        p = _sigmoid(raw[8 * b + 4, row, column])
        if max((_overlap(_box(raw, b, row, column), box) for _, box in truth), default=0) <= options.thresh:
            slopes[8 * b + 4, row, column] = options.noobject_scale * p * p * (1 - p)
    for label, box in truth:
        column, row = int(box[0] * width), int(box[1] * height)
        shapes = [_box(raw, b, row, column)[2:] for b in range(2)]
        if options.bias_match:
            shapes = [(w / width, h / height) for w, h in PRIORS]
        b = max(range(2), key=lambda k: _overlap((0, 0, *shapes[k]), (0, 0, *box[2:])))
        x, y, w, h, objectness = raw[8 * b : 8 * b + 5, row, column].tolist()
        scale = options.coord_scale * (1 if options.rescore else 2 - box[2] * box[3])
        wanted = _overlap(_box(raw, b, row, column), box) if options.rescore else 1
        sx, sy, p = _sigmoid(x), _sigmoid(y), _sigmoid(objectness)
        slopes[8 * b : 8 * b + 5, row, column] = [
            scale * (sx - (box[0] * width - column)) * sx * (1 - sx),
            scale * (sy - (box[1] * height - row)) * sy * (1 - sy),
            scale * (w - math.log(box[2] * width / PRIORS[b][0])),
            scale * (h - math.log(box[3] * height / PRIORS[b][1])),
            options.object_scale * (p - wanted) * p * (1 - p),
        ]
        classes = _softmax(raw[8 * b + 5 : 8 * b + 8, row, column])
        slopes[8 * b + 5 : 8 * b + 8, row, column] = options.class_scale * (classes - np.eye(3)[label])
    return slopes


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "RegionLoss"], ids=lambda case: case.id)
def test_region_loss(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    options = case.layer_param().region_loss_param
    expected = np.stack([_slopes(bottom[0].data[n], _truth(bottom[1].data, n), options) for n in range(2)])
    np.testing.assert_allclose(top[0].data, (expected**2).sum() / 2, rtol=1e-9)
    top[0].diff[...] = 3
    layer.backward(top, [True, False], bottom)
    np.testing.assert_allclose(bottom[0].diff, expected * 1.5, rtol=1e-6, atol=1e-12)


def test_what_region_loss_wants_is_a_grid_that_says_so() -> None:
    """Descending its gradient finds the true boxes."""
    options = f"region_loss_param {{ num: 2 num_class: 3 {BIASES} coord_scale: 1 object_scale: 5 thresh: 0.6 }}"
    truth = np.zeros((1, 10))
    truth[0] = [2, 0.4, 0.6, 0.2, 0.5, 1, 0.9, 0.2, 0.3, 0.2]
    layer, bottom, top = LayerCase("RegionLoss", options, (np.zeros((1, 16, 3, 4)), truth)).build(np.float64)
    for _ in range(3000):
        layer.forward(bottom, top)
        top[0].diff[...] = 1
        layer.backward(top, [True, False], bottom)
        bottom[0].data[...] -= 0.5 * bottom[0].diff
    finder = f"yolo_detection_output_param {{ num_box: 2 num_classes: 3 {BIASES} confidence_threshold: 0.5 }}"
    finding, _, found = LayerCase("YoloDetectionOutput", finder, (bottom[0].data,)).build(np.float64)
    finding.forward(bottom[:1], found)
    rows = found[0].data[0, 0]
    rows = rows[np.argsort(-rows[:, 1])]
    np.testing.assert_array_equal(rows[:, 1], [3, 2])
    np.testing.assert_allclose(rows[:, 3:], [[0.3, 0.35, 0.5, 0.85], [0.75, 0.1, 1.05, 0.3]], atol=0.01)


def _predictions(raw: Array) -> list[tuple[float, int, Box]]:
    """Score, label and box of each box of an item."""
    found = []
    for b, row, column in np.ndindex(2, *raw.shape[1:]):
        classes = _softmax(raw[8 * b + 5 : 8 * b + 8, row, column])
        score = _sigmoid(raw[8 * b + 4, row, column]) * classes.max()
        found.append((float(score), int(classes.argmax()), _box(raw, b, row, column)))
    return found


def _suppressed(found: list[tuple[float, int, Box]], overlap: float) -> list[tuple[float, int, Box]]:
    kept: list[tuple[float, int, Box]] = []
    for one in sorted(found, key=lambda entry: -entry[0]):
        if all(_overlap(one[2], other[2]) <= overlap for other in kept):
            kept.append(one)
    return kept


@pytest.mark.parametrize("case", [c for c in CASES if c.type == "YoloDetectionOutput"], ids=lambda case: case.id)
def test_found_boxes(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    options = case.layer_param().yolo_detection_output_param
    expected = []
    for n in range(2):
        found = [one for blob in bottom for one in _predictions(blob.data[n])]
        kept = _suppressed([one for one in found if one[0] >= options.confidence_threshold], options.nms_threshold)
        for score, label, (x, y, w, h) in kept:
            expected.append([n, label + 1, score, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    expected = expected or [[n] + [-1] * 6 for n in range(2)]
    np.testing.assert_allclose(top[0].data[0, 0], expected, rtol=1e-6)


def _cell_predictions(raw: Array, options: Any) -> list[tuple[float, int, Box]]:
    found = []
    for cell in range(9):
        classes = raw[cell:27:9]
        for k in range(2):
            x, y, w, h = (float(raw[45 + 36 * k + 9 * m + cell]) for m in range(4))
            if options.constriant:
                x, y = (cell % 3 + x) / 3, (cell // 3 + y) / 3
            if options.sqrt:
                w, h = w * w, h * h
            objectness = 1 if options.score_type == 1 else float(raw[27 + 9 * k + cell])
            found.append((objectness * float(classes.max()), int(classes.argmax()), (x, y, w, h)))
    return found


def _cell_truth(raw: Array) -> list[tuple[int, Box, bool]]:
    cells = [cell for cell in range(9) if raw[9 + cell]]
    return [(int(raw[18 + c]), tuple(raw[27 + 4 * c : 31 + 4 * c]), raw[c] == 1) for c in cells]


def _judged(found: list[tuple[float, int, Box]], truth: list[tuple[int, Box, bool]], least: float) -> list[list[float]]:
    rows, taken = [], set()
    for score, label, box in sorted(found, key=lambda entry: (entry[1], -entry[0])):
        own = [k for k, entry in enumerate(truth) if entry[0] == label]
        best = max(own, key=lambda k: _overlap(box, truth[k][1]), default=None)
        if best is None or _overlap(box, truth[best][1]) < least:
            rows.append([label, score, 0, 1])
        elif truth[best][2]:
            rows.append([label, score, 0, 0])
        else:
            rows.append([label, score, best not in taken, best in taken])
            taken.add(best)
    return rows


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "EvalDetection"], ids=lambda case: case.id)
def test_judged_boxes(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    options = case.layer_param().eval_detection_param
    for n in range(2):
        raw, labels = bottom[0].data[n], bottom[1].data
        if options.biases:
            found = _predictions(raw)
            if options.score_type == 0:
                places = np.ndindex(2, 3, 3)
                found = [
                    (_sigmoid(raw[8 * b + 4, r, c]), *one[1:]) for one, (b, r, c) in zip(found, places, strict=True)
                ]
            rows = labels[0, 0][labels[0, 0, :, 0] == n] if labels.shape[:2] == (1, 1) else None
            marks = [False] * 4 if rows is None else (rows[:, 7] != 0).tolist()
            truth = [(*one, mark) for one, mark in zip(_truth(labels, n), marks, strict=False)]
        else:
            found, truth = _cell_predictions(raw, options), _cell_truth(labels[n])
        found = _suppressed(found, options.nms) if options.nms >= 0 else found
        found = [one for one in found if not options.biases or one[0] >= 0.005]
        expected = [sum(label == k and not mark for label, _, mark in truth) for k in range(3)]
        expected += [value for row in _judged(found, truth, options.threshold) for value in row]
        expected += [0] * (top[0].shape[1] - len(expected))
        np.testing.assert_allclose(top[0].data[n], expected, rtol=1e-6)


BOX = [[0, 0.5, 0.5, 0.2, 0.2]]


@pytest.mark.parametrize(
    ("kind", "options", "bottoms", "words"),
    [
        ("RegionLoss", "region_loss_param { num: 2 num_class: 3 }", (GRID, true_boxes), "biases must be the 2 priors"),
        (
            "RegionLoss",
            f"region_loss_param {{ num: 2 num_class: 4 {BIASES} }}",
            (GRID, true_boxes),
            "need .N, 18, H, W",
        ),
        ("RegionLoss", f"region_loss_param {{ num: 2 num_class: 3 {BIASES} }}", (GRID, (2, 6)), "true boxes must be"),
        ("RegionLoss", 'region_loss_param { softmax_tree: "a" }', (GRID, true_boxes), "softmax_tree and class_map"),
        (
            "RegionLoss",
            f"region_loss_param {{ num: 2 num_class: 3 {BIASES} }}",
            (GRID, np.tile(BOX, (2, 1)) - 1),
            "labels",
        ),
        (
            "RegionLoss",
            f"region_loss_param {{ num: 2 num_class: 3 {BIASES} }}",
            (GRID, np.full((2, 5), np.nan)),
            "finite",
        ),
        ("YoloDetectionOutput", "yolo_detection_output_param { num_box: 0 }", (GRID,), "number of boxes must be"),
        ("YoloDetectionOutput", "yolo_detection_output_param { coords: 5 }", (GRID,), "coords must be 4"),
        ("EvalDetection", "eval_detection_param { side: 3 }", ((2, 9), (2, 63)), "without biases need .N, 270"),
        (
            "EvalDetection",
            "eval_detection_param { side: 3 num_class: 3 }",
            ((2, 117), (2, 62)),
            "labels must be .N, 63",
        ),
    ],
)
def test_what_they_do_not_take(kind: str, options: str, bottoms: tuple, words: str) -> None:
    def run() -> None:
        layer, bottom, top = LayerCase(kind, options, bottoms).build()
        layer.forward(bottom, top)

    with pytest.raises(SegcaffeError, match=words):
        run()
