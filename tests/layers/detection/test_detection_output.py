"""DetectionOutput against SSD's rules written out one box at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.errors import SegcaffeError
from segcaffe.layers.base import Layer
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
    """The rows; of nets with two stages ``inputs`` go on with confidences and locations of the first."""
    threshold, top_k, nms, eta, keep = limits
    locations = inputs[0].reshape(ITEMS, PRIORS, -1, 4).tolist()
    scores = inputs[1].reshape(ITEMS, PRIORS, CLASSES).tolist()
    priors, variances = inputs[2].reshape(2, PRIORS, 4).tolist()
    rows = []
    for n in range(ITEMS):
        own = []
        places = priors
        if len(inputs) > 4:
            moves = inputs[4].reshape(ITEMS, PRIORS, 4).tolist()[n]
            places = [_decoded(kind, *each) for each in zip(priors, variances, moves, strict=True)]
        is_object = inputs[3].reshape(ITEMS, PRIORS, 2)[n, :, 1] >= 0.3 if len(inputs) > 3 else [True] * PRIORS
        for c in range(1, CLASSES):
            boxes = [
                _decoded(kind, places[p], variances[p], locations[n][p][0 if shared else c]) for p in range(PRIORS)
            ]
            column = [scores[n][p][c] if is_object[p] else 0.0 for p in range(PRIORS)]
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


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("stages", [1, 2])
def test_two_stages(shared: bool, stages: int) -> None:
    rng = np.random.default_rng(4 + shared)
    inputs = _inputs(rng, shared)
    inputs += [rng.uniform(0, 1, (ITEMS, PRIORS * 2)), rng.standard_normal((ITEMS, PRIORS * 4))][:stages]
    options = (
        f"detection_output_param {{ num_classes: {CLASSES} share_location: {str(shared).lower()} keep_top_k: -1 "
        "code_type: CENTER_SIZE confidence_threshold: 0.3 objectness_score: 0.3 nms_param { nms_threshold: 0.45 } }"
    )
    layer, bottom, top = LayerCase("DetectionOutput", options, tuple(inputs)).build(dtype=np.float64)
    layer.forward(bottom, top)
    expected = _expected("CENTER_SIZE", shared, (0.3, -1, 0.45, 1.0, -1), inputs)
    assert len(expected) > 10
    np.testing.assert_allclose(top[0].data[0, 0], expected, rtol=1e-6)


MAPS = ((2, 2, 3), (3, 1, 2), (1, 4, 5))
"""Boxes a place, height and width of three maps: 12, 6 and 20 boxes."""


def _maps(whole: np.ndarray, width: int, as_left: bool, boxes: bool) -> list[np.ndarray]:
    """The values (N, P width) of all maps as each map's own blob."""
    parts, start = [], 0
    for ratios, height, columns in MAPS:
        count = ratios * height * columns
        part = whole.reshape(ITEMS, -1, width)[:, start : start + count]
        start += count
        if not as_left:
            parts.append(part.reshape(ITEMS, -1))
            continue
        shape = (ratios * width, height, columns) if boxes else (width, ratios, height * columns)
        made = np.empty((ITEMS, *shape))
        for y in range(height):
            for x in range(columns):
                for r in range(ratios):
                    for i in range(width):
                        place = (r * width + i, y, x) if boxes else (i, r, y * columns + x)
                        made[(slice(None), *place)] = part[:, (y * columns + x) * ratios + r, i]
        parts.append(made)
    return parts


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("as_left", [True, False])
@pytest.mark.parametrize("own_priors", [True, False])
def test_maps_one_by_one(shared: bool, as_left: bool, own_priors: bool) -> None:
    rng = np.random.default_rng(7)
    locations, scores, priors = _inputs(rng, shared)
    count = sum(ratios * height * width for ratios, height, width in MAPS)
    locations, scores = locations[:, : count * 4 * (1 if shared else CLASSES)], scores[:, : count * CLASSES]
    priors = np.ascontiguousarray(priors.reshape(1, 2, -1)[:, :, : 4 * count])
    options = f"num_classes: {CLASSES} share_location: {str(shared).lower()} confidence_threshold: 0.2"
    layer, bottom, top = _built(options, [locations, scores, priors])
    layer.forward(bottom, top)
    expected = top[0].data.copy()
    ends = np.cumsum([4 * r * h * w for r, h, w in MAPS])[:-1]
    parts = [
        *_maps(scores, CLASSES, as_left, False),
        *_maps(locations, 4 * (1 if shared else CLASSES), as_left, True),
        *(np.split(priors, ends, axis=2) if own_priors else [priors]),
    ]
    layer, bottom, top = _built(f"{options} nbottom: 3 no_permute: {str(as_left).lower()}", parts)
    layer.forward(bottom, top)
    assert len(expected[0, 0]) > 10
    np.testing.assert_array_equal(top[0].data, expected)


def _built(options: str, inputs: list[np.ndarray]) -> tuple[Layer, list[Blob], list[Blob]]:
    return LayerCase("DetectionOutput", f"detection_output_param {{ {options} }}", tuple(inputs)).build()


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


@pytest.mark.parametrize(
    ("options", "shapes", "sentence"),
    [
        (
            "objectness_score: 0.1",
            [(2, 16), (2, 12), (1, 2, 16), (2, 7)],
            r"bottom 3, of an earlier stage, must be \(N, 8\)",
        ),
        ("", [(2, 16), (2, 12), (1, 2, 16), (2, 8), (2, 15)], r"bottom 4, of an earlier stage, must be \(N, 16\)"),
        ("", [(2, 16)] * 8, "or 6 confidences, 6 locations and priors .* Received: 8 bottoms"),
        ("nbottom: 20", [(2, 16)] * 6, "takes 3 to 5 bottoms where nbottom is 20"),
        ("nbottom: 3", [(2, 6)] * 3 + [(2, 8)] * 3 + [(1, 2, 16)], "bottoms 3 to 5 must have 16 numbers an item"),
        ("nbottom: 3", [(2, 6), (2, 3), (2, 6), (2, 8), (2, 8), (2, 8), (1, 2, 24)], "bottoms 0 to 2 must have 18"),
        ("nbottom: 3 no_permute: true", [(2, 3, 1, 4)] * 3 + [(2, 3, 2, 2)] * 3 + [(1, 2, 48)], r"\(N, R 4, H, W\)"),
        ("nbottom: 3 no_permute: true", [(2, 3, 1, 3)] * 3 + [(2, 4, 2, 2)] * 3 + [(1, 2, 48)], r"\(N, 3, 1, 4\)"),
    ],
)
def test_bottoms_that_are_refused(options: str, shapes: list[tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(SegcaffeError, match=sentence):
        LayerCase("DetectionOutput", f"detection_output_param {{ num_classes: 3 {options} }}", tuple(shapes)).build()
