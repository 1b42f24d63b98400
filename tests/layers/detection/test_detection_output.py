"""DetectionOutput against SSD's rules written out one box at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

Box = list[float]
PRIORS, CLASSES, ITEMS = 40, 4, 2


def _decoded(kind: str, prior: Box, variance: Box, coded: Box) -> Box:
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    a, b, c, d = (v * t for v, t in zip(variance, coded, strict=True))
    if kind == "CORNER":
        return [prior[0] + a, prior[1] + b, prior[2] + c, prior[3] + d]
    if kind == "CORNER_SIZE":
        return [prior[0] + a * width, prior[1] + b * height, prior[2] + c * width, prior[3] + d * height]
    x, y = a * width + (prior[0] + prior[2]) / 2, b * height + (prior[1] + prior[3]) / 2
    w, h = math.exp(c) * width, math.exp(d) * height
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _area(box: Box) -> float:
    return 0.0 if box[2] < box[0] or box[3] < box[1] else (box[2] - box[0]) * (box[3] - box[1])


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(a) + _area(b) - width * height)


def _stay(boxes: list[Box], scores: list[float], threshold: float, top_k: int, nms: float, eta: float) -> list[int]:
    order = sorted((i for i, s in enumerate(scores) if s > threshold), key=lambda i: -scores[i])
    kept: list[int] = []
    for i in order if top_k < 0 else order[:top_k]:
        if all(_overlap(boxes[i], boxes[k]) <= nms for k in kept):
            kept.append(i)
            nms = nms * eta if eta < 1 and nms > 0.5 else nms
    return kept


def _expected(kind: str, shared: bool, limits: tuple[float, int, float, float, int], inputs: list[np.ndarray]) -> list:
    threshold, top_k, nms, eta, keep = limits
    locations = inputs[0].reshape(ITEMS, PRIORS, -1, 4).tolist()
    scores = inputs[1].reshape(ITEMS, PRIORS, CLASSES).tolist()
    priors, variances = inputs[2].reshape(2, PRIORS, 4).tolist()
    rows = []
    for n in range(ITEMS):
        own = []
        for c in range(1, CLASSES):
            boxes = [
                _decoded(kind, priors[p], variances[p], locations[n][p][0 if shared else c]) for p in range(PRIORS)
            ]
            column = [scores[n][p][c] for p in range(PRIORS)]
            own += [[n, c, column[i], *boxes[i]] for i in _stay(boxes, column, threshold, top_k, nms, eta)]
        own.sort(key=lambda row: -row[2])
        rows += own if keep < 0 else own[:keep]
    return rows


def _inputs(rng: np.random.Generator, shared: bool) -> list[np.ndarray]:
    centers, sizes = rng.uniform(0, 1, (PRIORS, 2)), rng.uniform(0.1, 0.6, (PRIORS, 2))
    priors = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (PRIORS, 1))
    locations = rng.standard_normal((ITEMS, PRIORS * 4 * (1 if shared else CLASSES)))
    scores = rng.uniform(0, 1, (ITEMS, PRIORS * CLASSES))
    return [locations, scores, np.stack([priors, variances]).reshape(1, 2, -1)]


def _settings() -> Iterator[tuple[str, bool, tuple[float, int, float, float, int]]]:
    for kind in ("CORNER", "CENTER_SIZE", "CORNER_SIZE"):
        for shared in (True, False):
            yield kind, shared, (0.3, 25, 0.45, 1.0, 20)
            yield kind, shared, (0.01, -1, 0.8, 0.7, -1)


@pytest.mark.parametrize(("kind", "shared", "limits"), list(_settings()))
def test_one_box_at_a_time(kind: str, shared: bool, limits: tuple[float, int, float, float, int]) -> None:
    threshold, top_k, nms, eta, keep = limits
    options = (
        f"detection_output_param {{ num_classes: {CLASSES} share_location: {str(shared).lower()} code_type: {kind} "
        f"confidence_threshold: {threshold} keep_top_k: {keep} "
        f"nms_param {{ nms_threshold: {nms} top_k: {top_k} eta: {eta} }} }}"
    )
    inputs = _inputs(np.random.default_rng(len(kind) + shared), shared)
    case = LayerCase("DetectionOutput", options, tuple(inputs))
    layer, bottom, top = case.build(dtype=np.float64)
    layer.forward(bottom, top)
    expected = _expected(kind, shared, limits, inputs)
    assert len(expected) > 10
    np.testing.assert_allclose(top[0].data[0, 0], expected, rtol=1e-6)


def test_what_is_refused() -> None:
    inputs = tuple(_inputs(np.random.default_rng(0), True))
    for options, sentence in {
        "": "num_classes must be given",
        "num_classes: 4 nms_param { eta: 0 }": "eta must be above 0",
        "num_classes: 3": r"bottom 1 must be \(N, 120\)",
        "num_classes: 4 share_location: false": r"bottom 0 must be \(N, 640\)",
    }.items():
        with pytest.raises(SegcaffeError, match=sentence):
            LayerCase("DetectionOutput", f"detection_output_param {{ {options} }}", inputs).build()
