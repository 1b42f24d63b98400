"""YOLO v3's layers against their rules written out one box at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.yolo import CASES, GRID, PIXELS, true_boxes
from tests.layers.detection.test_yolo import Box, _overlap, _sigmoid, _suppressed, _truth

Array = np.ndarray[Any, Any]
PRIORS = [(40, 24), (16, 48), (9, 12)]
MASK = [1, 0]


def _box(raw: Array, place: tuple[int, int, int], prior: tuple[float, float], cell: int) -> Box:
    b, row, column = place
    height, width = raw.shape[1:]
    x, y, w, h = raw[8 * b : 8 * b + 4, row, column].tolist()
    size = math.exp(w) * prior[0] / (width * cell), math.exp(h) * prior[1] / (height * cell)
    return ((column + _sigmoid(x)) / width, (row + _sigmoid(y)) / height, *size)


def _slopes(raw: Array, truth: list[tuple[int, Box]], options: Any) -> Array:
    height, width = raw.shape[1:]
    slopes = np.zeros_like(raw)
    for b, row, column in np.ndindex(2, height, width):
        box = _box(raw, (b, row, column), PRIORS[MASK[b]], 32)
        if max((_overlap(box, other) for _, other in truth), default=0) <= options.thresh:
            slopes[8 * b + 4, row, column] = _sigmoid(raw[8 * b + 4, row, column])
    for label, box in truth:
        column, row = int(box[0] * width), int(box[1] * height)
        shapes = [_overlap((0, 0, w / width / 32, h / height / 32), (0, 0, *box[2:])) for w, h in PRIORS]
        best = shapes.index(max(shapes))
        for b, prior in enumerate(MASK):
            if prior != best and not (options.iou_thresh < 1 and shapes[prior] > options.iou_thresh):
                continue
            x, y, w, h, objectness, *classes = raw[8 * b : 8 * b + 8, row, column].tolist()
            scale = options.coord_scale * (2 - box[2] * box[3])
            own = slopes[8 * b : 8 * b + 8, row, column]
            own[:5] = [
                scale * (_sigmoid(x) - (box[0] * width - column)),
                scale * (_sigmoid(y) - (box[1] * height - row)),
                scale * (w - math.log(box[2] * width * 32 / PRIORS[prior][0])),
                scale * (h - math.log(box[3] * height * 32 / PRIORS[prior][1])),
                (options.object_scale if options.use_logic_gradient else 1) * (_sigmoid(objectness) - 1),
            ]
            for c in range(3):
                wanted = (c == label) * (1 - options.label_smooth_eps) + options.label_smooth_eps / 2
                own[5 + c] = options.class_scale * (_sigmoid(classes[c]) - wanted)
    return slopes


@pytest.mark.parametrize("case", [case for case in CASES if case.type == "Yolov3"], ids=lambda case: case.id)
def test_loss(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    options = case.layer_param().yolov3_param
    expected = np.stack([_slopes(bottom[0].data[n], _truth(bottom[1].data, n), options) for n in range(2)])
    np.testing.assert_allclose(top[0].data, (expected**2).sum() / 2, rtol=1e-9)
    top[0].diff[...] = 3
    layer.backward(top, [True, False], bottom)
    np.testing.assert_allclose(bottom[0].diff, expected * 1.5, rtol=1e-6, atol=1e-12)


def test_a_second_class_of_a_cell_is_drawn_to_beside_the_first() -> None:
    truth = np.array([[0, 0.5, 0.5, 0.2, 0.2, 2, 0.5, 0.5, 0.2, 0.2]])
    options = f"yolov3_param {{ num: 3 num_class: 3 {PIXELS} mask: [0, 1, 2] label_smooth_eps: 0 }}"
    layer, bottom, top = LayerCase("Yolov3", options, (np.zeros((1, 24, 1, 1)), truth)).build(np.float64)
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    np.testing.assert_allclose(_classes(bottom[0].diff), [-0.5, 0.5, -0.5])


def _classes(diff: Array) -> Array:
    """Of the box that stands for the true ones."""
    boxes = diff.reshape(3, 8)
    return boxes[np.abs(boxes[:, 5:]).sum(axis=1).argmax(), 5:]


@pytest.mark.parametrize("case", [c for c in CASES if c.type == "Yolov3DetectionOutput"], ids=lambda case: case.id)
def test_found_boxes(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    options = case.layer_param().yolov3_detection_output_param
    expected = []
    for n in range(2):
        found = []
        for blob, mask, cell in zip(bottom, ([0, 1], [2, 1]), (32, 16), strict=True):
            raw = blob.data[n]
            for b, row, column in np.ndindex(2, *raw.shape[1:]):
                box = _box(raw, (b, row, column), PRIORS[mask[b]], cell)
                objectness, *classes = (_sigmoid(v) for v in raw[8 * b + 4 : 8 * b + 8, row, column].tolist())
                found += [(objectness * chance, c, box) for c, chance in enumerate(classes)]
        kept = _suppressed([one for one in found if one[0] > options.confidence_threshold], options.nms_threshold)
        for score, label, (x, y, w, h) in kept:
            expected.append([n, label + 1, score, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    expected = expected or [[n] + [-1] * 6 for n in range(2)]
    np.testing.assert_allclose(top[0].data[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "bottoms", "words"),
    [
        ("Yolov3", f"yolov3_param {{ num: 2 {PIXELS} mask: 0 }}", (GRID, true_boxes), "mask must name num priors"),
        ("Yolov3", f"yolov3_param {{ num: 1 {PIXELS} mask: 3 }}", (GRID, true_boxes), "mask must name num priors"),
        ("Yolov3", "yolov3_param { iou_loss: GIOU }", (GRID, true_boxes), "of iou_loss only MSE. Received: .*GIOU"),
        ("Yolov3", f"yolov3_param {{ num: 1 {PIXELS} mask: 0 anchors_scale: 0 }}", (GRID, true_boxes), "anchors_scale"),
        ("Yolov3DetectionOutput", f"yolov3_detection_output_param {{ {PIXELS} }}", (GRID,), "each of mask_group_num"),
        ("Yolov3DetectionOutput", "yolov3_detection_output_param { gaussian_box: true }", (GRID,), "gaussian_box"),
    ],
)
def test_what_they_do_not_take(kind: str, options: str, bottoms: tuple, words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase(kind, options, bottoms).build()
