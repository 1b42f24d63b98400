"""Boxes and what is kept of them: the steps that the layers of detectors share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segcaffe.detection.suppression import Suppression
from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.subgraph import Step

LOWEST = float(np.finfo(np.float32).min)
"""The score of what is never kept."""
LEAST_OF_ETA = 0.5
"""eta lowers only thresholds above it."""
ROW = 7
"""Numbers of a detection: item, label, score, corners."""


class Kept(NamedTuple):
    """What non-maximum suppression keeps, best first for each item and class, in columns of int64 (K, 1)."""

    item: str
    label: str
    place: str
    all: str


def suppress(emit: Emitter, boxes: str, scores: str, most: int, overlap: float, least: float = LOWEST) -> Kept:
    """Non-maximum suppression among those that score above ``least``, or among all where that is minus infinity.

    Parameters
    ----------
    boxes, scores:
        (N, P, 4) corners, and (N, L, P).
    most:
        So many of an item and a class, at most, are kept.
    overlap:
        A box falls away whose intersection over union with a better one is larger.
    """
    limits = emit.ints([most], "most"), emit.constant([float(min(overlap, 1))], "overlap")
    # OpenCV 5 takes no negative number there.
    score = [] if least == -np.inf else [emit.constant([float(least)], "least")]
    kept = emit.node("NonMaxSuppression", _upright(emit, boxes), scores, *limits, *score)
    item, label, place = emit.split(kept, 1, [1, 1, 1])
    return Kept(item, label, place, kept)


def suppress_more(emit: Emitter, boxes: str, scores: str, wanted: Suppression) -> Kept:
    """Suppression whose threshold falls with each box that stays (eta), box by box; NonMaxSuppression knows no such.

    ``boxes`` (N, P, 4) and ``scores`` (N, 1, P) are sorted, the best first.
    """
    low, high = emit.split(_upright(emit, boxes), 2, [2, 2])
    area = emit.reduce("ReduceProd", emit.sub(high, low), [2], keepdims=False)
    scores = emit.squeeze(scores, [1])
    none = emit.cast(emit.node("Less", scores, scores), np.float32)
    threshold = emit.plus(emit.slice(none, [0], [1], [1]), wanted.overlap)
    places = emit.node("CumSum", emit.plus(none, 1), emit.ints(1, "axis"))

    step = Step(emit)
    kept, limit = step.given("kept", 2), step.given("limit", 2)
    own_low, own_high = (step.unsqueeze(step.given(name, 2), [1]) for name in ("low", "high"))
    own_area, score, place = (step.unsqueeze(step.given(name, 1), [1]) for name in ("area", "score", "place"))
    sides = step.node("Relu", step.sub(step.node("Min", high, own_high), step.node("Max", low, own_low)))
    shared = step.reduce("ReduceProd", sides, [2], keepdims=False)
    union = step.sub(step.add(area, own_area), shared)
    zero = step.number(0, "zero")
    union = step.where(step.node("Greater", union, zero), union, step.number(1, "one"))
    hides = step.cast(step.node("Greater", step.div(shared, union), limit), np.float32)
    hidden = step.node("Greater", step.reduce("ReduceMax", step.mul(hides, kept), [1]), zero)
    counts = step.node("Greater", score, step.number(max(float(wanted.score), LOWEST), "least"))
    stays = step.node("And", counts, step.node("Not", hidden))
    here = step.node("And", step.node("Equal", places, place), stays)
    lowered = step.node("And", stays, step.node("Greater", limit, step.number(LEAST_OF_ETA, "least_limit")))
    after = [
        (step.where(here, step.number(1, "one"), kept), 2),
        (step.where(lowered, step.times(limit, wanted.eta), limit), 2),
    ]
    slices = {low: 1, high: 1, area: 1, scores: 1, places: 1}
    stayed = step.scan([none, threshold], slices, after)[0]
    item, place = emit.split(emit.transpose(emit.node("NonZero", stayed), (1, 0)), 1, [1, 1])
    label = emit.sub(item, item)
    return Kept(item, label, place, emit.concat([item, label, place], 1))


def _upright(emit: Emitter, boxes: str) -> str:
    """Boxes whose corners are the wrong way round without an area; the operator would turn them."""
    low, high = emit.split(boxes, 2, [2, 2])
    return emit.concat([low, emit.node("Max", low, high)], 2)


def best(emit: Emitter, boxes: str, scores: str, count: int) -> tuple[str, str]:
    """The best of boxes (M, P, 4) and their scores (M, P), of equal ones the first: (M, count, 4) and (M, count)."""
    scores, places = emit.node("TopK", scores, emit.ints([count], "count"), outputs=2, axis=1)
    four = emit.expand(emit.unsqueeze(places, [2]), [1, 1, 4])
    return str(emit.node("GatherElements", boxes, four, axis=1)), scores


def rows_of(emit: Emitter, item: str, label: str, score: str, boxes: str) -> str:
    """Rows (K, 7) of int64 items (K, 1), labels (K, 1), scores (K,), boxes (K, 4)."""
    return emit.concat([emit.cast(item, np.float32), label, emit.unsqueeze(score, [1]), boxes], 1)


def or_none(emit: Emitter, kept: Kept, planes: int = 1) -> tuple[Kept, str]:
    """What is kept, and behind it a place for each item that stands for none; and how many are kept, (1,).

    So no list is empty by which anything is gathered: OpenCV 5 divides by its length. ``planes`` are those of an item.
    """
    items = numbers(emit, length(emit, emit.input))
    none = emit.mul(emit.unsqueeze(items, [1]), emit.constant(np.array([[planes, 0, 0]], np.int64), "none"))
    every = emit.concat([kept.all, none], 0)
    item, label, place = emit.split(every, 1, [1, 1, 1])
    return Kept(item, label, place, every), length(emit, kept.all)


def detections(emit: Emitter, rows: str, real: str, most: int | None = None) -> str:
    """Rows (K + N, 7), of which K are ``real`` (1,), as a blob (1, 1, K, 7), or of none a row (item, -1 ...) each.

    ``most`` are kept of an item, those of the highest scores, all if it is negative; None for rows that are in order.
    """
    total = length(emit, rows)
    # Which stand for none; as numbers, for not every runtime gathers truths.
    spare = emit.cast(emit.node("Not", emit.node("Less", numbers(emit, total), real)), np.float32)
    rows = emit.concat([rows, emit.unsqueeze(spare, [1])], 1)
    nothing = emit.cast(emit.node("Equal", real, emit.ints([0], "nothing")), np.float32)
    kept = emit.plus(emit.times(_column(emit, rows, ROW), -1), 1)
    if most is not None:
        rows, kept = _best_of_items(emit, rows, total, most)
        nothing = emit.number(1, "nothing") if most == 0 else nothing
    spare = _column(emit, rows, ROW)
    kept = emit.add(kept, emit.mul(spare, nothing))
    places = emit.node("NonZero", emit.node("Greater", kept, emit.number(0.5, "half")))
    rows = emit.node("Gather", rows, emit.squeeze(places, [0]), axis=0)
    others = emit.constant([0.0] + [1.0] * (ROW - 1), "others")
    is_none = emit.node("Greater", emit.mul(emit.slice(rows, [ROW], [ROW + 1], [1]), others), emit.number(0.5, "half"))
    rows = emit.where(is_none, emit.number(-1, "none"), emit.slice(rows, [0], [ROW], [1]))
    return emit.reshape(rows, [1, 1, -1, ROW])


def _best_of_items(emit: Emitter, rows: str, total: str, most: int) -> tuple[str, str]:
    """Rows (K, 8) sorted by item, then by score; and 1 for those that are kept, 0 for others and what is spare."""
    is_spare = emit.node("Greater", _column(emit, rows, ROW), emit.number(0.5, "half"))
    scores = emit.where(is_spare, emit.number(LOWEST, "lowest"), _column(emit, rows, 2))
    _, order = emit.node("TopK", scores, total, outputs=2, axis=0)
    rows = emit.node("Gather", rows, order, axis=0)
    # No two keys are equal, for not every runtime lets the first of equal ones come first.
    item = emit.cast(_column(emit, rows, 0), np.int64)
    keys = emit.add(emit.mul(item, total), numbers(emit, total))
    _, order = emit.node("TopK", keys, total, outputs=2, axis=0, largest=0)
    rows = emit.node("Gather", rows, order, axis=0)
    kept = emit.plus(emit.times(_column(emit, rows, ROW), -1), 1)
    if most < 0:
        return rows, kept
    # One is too many where the one so many places before it is of the same item.
    item = _column(emit, rows, 0)
    before = emit.concat([emit.constant(np.full(most, -1, np.float32), "none"), item], 0)
    before = emit.node("Slice", before, emit.ints([0], "first"), total, emit.ints([0], "axis"))
    first = emit.cast(emit.node("Not", emit.node("Equal", item, before)), np.float32)
    return rows, emit.mul(kept, first)


def _column(emit: Emitter, rows: str, index: int) -> str:
    """A column of rows, (K,)."""
    return emit.reshape(emit.slice(rows, [index], [index + 1], [1]), [-1])


def numbers(emit: Emitter, count: str) -> str:
    """0, 1, ... up to a count (1,), all of int64."""
    return str(emit.node("Range", emit.ints(0, "begin"), emit.squeeze(count, [0]), emit.ints(1, "step")))


def length(emit: Emitter, value: str) -> str:
    """The extent of the first axis, (1,) of int64."""
    return emit.slice(emit.node("Shape", value), [0], [1], [0])


def at(emit: Emitter, values: str, *columns: str) -> str:
    """The values at places that columns (K, 1) name axis by axis."""
    return str(emit.node("GatherND", values, emit.concat(columns, 1)))


def corners(emit: Emitter, centers: str, halves: str, axis: int) -> str:
    """Boxes of their centres and half their sizes, each two numbers along an axis."""
    return emit.concat([emit.sub(centers, halves), emit.add(centers, halves)], axis)


def only(emit: Emitter, values: str, places: Sequence[int], extent: int, axis: int) -> str:
    """Some places of an axis; the value itself where they are all of them."""
    return values if len(places) == extent else emit.gather(values, places, axis)
