"""Cases of YOLO's layers: two boxes in each of 3 x 4 cells (or 3 x 3), three classes."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase

BIASES = "biases: 1.25 biases: 0.75 biases: 0.5 biases: 1.5"
GRID = (2, 16, 3, 4)


def true_boxes(rng: np.random.Generator) -> np.ndarray:
    """Label, x, y, w, h of two boxes of the first item and one of the second, (2, 1, 4, 5)."""
    rows = np.zeros((2, 1, 4, 5))
    for n, k in ((0, 0), (0, 1), (1, 0)):
        rows[n, 0, k] = [rng.integers(0, 3), *rng.uniform(0.2, 0.8, 2), *rng.uniform(0.1, 0.4, 2)]
    return rows


def _rows(rng: np.random.Generator) -> np.ndarray:
    """The same in SSD's form, (1, 1, 3, 8)."""
    low = rng.uniform(0.1, 0.5, (3, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.4, (3, 2))], axis=1)
    return np.array([[item, 1 + k, 0, *corners[k], k == 1] for k, item in enumerate((0, 0, 1))]).reshape(1, 1, 3, 8)


def _cells(rng: np.random.Generator) -> np.ndarray:
    """The labels of a YOLO v1 of 3 x 3 cells, (2, 63)."""
    there = rng.random((2, 9)) < 0.6
    head = np.stack([there & (rng.random((2, 9)) < 0.3), there, rng.integers(0, 3, (2, 9))], axis=1)
    boxes = np.concatenate([rng.uniform(0.2, 0.8, (2, 9, 2)), rng.uniform(0.2, 0.6, (2, 9, 2))], axis=2)
    return np.concatenate([head.reshape(2, -1), boxes.reshape(2, -1)], axis=1)


def _chances(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.9, (2, 9 * (3 + 10)))


def _loss(options: str, suffix: str, truth=true_boxes) -> LayerCase:
    options = f"region_loss_param {{ num: 2 num_class: 3 {BIASES} {options} }}"
    # The gradient is not that of the loss.
    return LayerCase("RegionLoss", options, (GRID, truth), suffix=suffix, gradient=False, batched=False)


def _found(options: str, suffix: str, grids: tuple = (GRID,)) -> LayerCase:
    options = f"yolo_detection_output_param {{ num_box: 2 num_classes: 3 {BIASES} {options} }}"
    return LayerCase("YoloDetectionOutput", options, grids, suffix=suffix, gradient=False, batched=False)


def _eval(options: str, suffix: str, bottoms: tuple) -> LayerCase:
    options = f"eval_detection_param {{ side: 3 num_object: 2 num_class: 3 threshold: 0.2 {options} }}"
    return LayerCase("EvalDetection", options, bottoms, suffix=suffix, batched=False)


SQUARE = (2, 16, 3, 3)
CASES = [
    _loss("", ""),
    _loss("rescore: 0 bias_match: 0 thresh: 0.1 noobject_scale: 2", "plain"),
    _loss("object_scale: 5 class_scale: 2 coord_scale: 3", "rows", _rows),
    _found("confidence_threshold: 0.1", ""),
    _found("nms_threshold: 0.1 confidence_threshold: 0", "two", (GRID, (2, 16, 2, 2))),
    _found("confidence_threshold: 1.5", "nothing"),
    _eval(f"{BIASES} nms: 0.4", "", (SQUARE, true_boxes)),
    _eval(f"{BIASES} score_type: OBJ", "objectness", (SQUARE, _rows, (2, 3, 8, 8))),
    _eval("nms: 0.5", "cells", (_chances, _cells)),
    _eval("score_type: PROB sqrt: false constriant: false", "plain_cells", (_chances, _cells)),
]


def _maps(rng: np.random.Generator) -> np.ndarray:
    return (rng.random((2, 3, 4, 5)) < 0.4).astype(float)


def _pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 20, (2, 3)).astype(float)


# The gradient is not that of the loss.
CASES += [
    LayerCase("YoloSeg", options, ((2, 3, 4, 5), *labels), suffix=suffix, gradient=False, batched=False)
    for suffix, options, labels in (
        ("", "", (_maps,)),
        ("weighed", "yolo_seg_param { object_scale: 2 }", (_maps, _pixels)),
    )
]

CASES += [
    LayerCase(
        "DetectionLoss",
        f"detection_loss_param {{ side: 3 num_object: 2 num_class: 3 {options} }}",
        (_chances, _cells),
        suffix=suffix,
        gradient=False,
        batched=False,
    )
    for options, suffix in (("constriant: true", ""), ("sqrt: false coord_scale: 2 object_scale: 3", "plain"))
]
PIXELS = "biases: 40 biases: 24 biases: 16 biases: 48 biases: 9 biases: 12"


def _v3_loss(options: str, suffix: str, truth=true_boxes) -> LayerCase:
    options = f"yolov3_param {{ num: 2 num_class: 3 {PIXELS} mask: 1 mask: 0 {options} }}"
    return LayerCase("Yolov3", options, (GRID, truth), suffix=suffix, gradient=False, batched=False)


def _v3_found(options: str, suffix: str) -> LayerCase:
    options = (
        f"yolov3_detection_output_param {{ num_box: 2 num_classes: 3 {PIXELS} mask: [0, 1, 2, 1]"
        f" anchors_scale: [32, 16] mask_group_num: 2 {options} }}"
    )
    bottoms = (GRID, (2, 16, 6, 8))
    return LayerCase("Yolov3DetectionOutput", options, bottoms, suffix=suffix, gradient=False, batched=False)


CASES += [
    _v3_loss("", ""),
    _v3_loss("label_smooth_eps: 0 iou_thresh: 0.1 thresh: 0.05 class_scale: 2", "plain"),
    _v3_loss("use_logic_gradient: true object_scale: 5 coord_scale: 1 iou_thresh: 1", "rows", _rows),
    _v3_found("confidence_threshold: 0.5", ""),
    _v3_found("confidence_threshold: 0.2 nms_threshold: 0.1", "more"),
    _v3_found("confidence_threshold: 1", "nothing"),
]
