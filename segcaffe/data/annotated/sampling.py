"""Parts of an image drawn for training, among those that show enough of some object.   [SSD, section 2.2]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segcaffe.data.annotated.boxed import Boxed
from segcaffe.detection.boxes import areas, overlaps
from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import BatchSampler, EmitConstraint, SampleConstraint, Sampler

Array = np.ndarray[Any, Any]
Random = np.random.Generator
_MOST_TRIALS = 10_000


def check_samplers(samplers: Sequence[BatchSampler], where: str) -> None:
    """Raise DataError where a sampler's range is none."""
    for number, batch_sampler in enumerate(samplers):
        own = batch_sampler.sampler
        if batch_sampler.max_trials > _MOST_TRIALS:
            raise DataError(
                f"{where}: batch_sampler {number} must try {_MOST_TRIALS} times at most (max_trials). "
                f"Received: {batch_sampler.max_trials}."
            )
        if not 0 < own.min_scale <= own.max_scale <= 1:
            raise DataError(
                f"{where}: batch_sampler {number} needs 0 < min_scale <= max_scale <= 1. "
                f"Received: {own.min_scale:g} and {own.max_scale:g}."
            )
        if not 0 < own.min_aspect_ratio <= own.max_aspect_ratio < np.inf:
            raise DataError(
                f"{where}: batch_sampler {number} needs 0 < min_aspect_ratio <= max_aspect_ratio. "
                f"Received: {own.min_aspect_ratio:g} and {own.max_aspect_ratio:g}."
            )


def sample(boxed: Boxed, samplers: Sequence[BatchSampler], random: Random) -> Boxed:
    """A part of the image, one of those that the samplers find; the whole where they find none."""
    found = [part for own in samplers if own.use_original_image for part in _parts(boxed.boxes, own, random)]
    if not found:
        return boxed
    part = found[int(random.integers(len(found)))].clip(0, 1)
    height, width = boxed.image.shape[:2]
    left, top, right, bottom = (part * (width, height, width, height)).astype(int)
    return boxed.part(boxed.image[top : max(bottom, top + 1), left : max(right, left + 1)], part)


def _parts(boxes: Array, batch_sampler: BatchSampler, random: Random) -> Iterator[Array]:
    """Those of the sampler's draws that meet its constraint, at most max_sample."""
    found = 0
    for _ in range(batch_sampler.max_trials):
        if batch_sampler.HasField("max_sample") and found >= batch_sampler.max_sample:
            return
        part = _draw(batch_sampler.sampler, random)
        if meets(part, boxes, batch_sampler.sample_constraint):
            found += 1
            yield part


def _draw(sampler: Sampler, random: Random) -> Array:
    """A part of the image, its area scale^2 and its ratio of width to height within what fits."""
    scale = random.uniform(sampler.min_scale, sampler.max_scale)
    ratio = random.uniform(sampler.min_aspect_ratio, sampler.max_aspect_ratio)
    ratio = min(max(ratio, scale**2), 1 / scale**2)
    size = np.minimum((scale * ratio**0.5, scale / ratio**0.5), 1)
    corner = random.uniform(0, 1 - size)
    return np.concatenate([corner, corner + size])


def meets(part: Array, boxes: Array, constraint: SampleConstraint) -> bool:
    """Whether some box meets every range that the constraint gives; without ranges all parts do.

    The ranges are of the intersection over the union (jaccard_overlap), over the part (sample_coverage) and over the
    box (object_coverage). As in SSD a later range need not be met by a box where an earlier one was met before.
    """
    shares = {
        "jaccard_overlap": overlaps(part[None], boxes)[0],
        "sample_coverage": coverage(part[None], boxes),
        "object_coverage": coverage(boxes, part[None]),
    }
    given = [name for name in shares if constraint.HasField(f"min_{name}") or constraint.HasField(f"max_{name}")]
    if not given:
        return True
    found = False
    for box in range(len(boxes)):
        for name in given:
            share = shares[name][box]
            if constraint.HasField(f"min_{name}") and share < getattr(constraint, f"min_{name}"):
                break
            if constraint.HasField(f"max_{name}") and share > getattr(constraint, f"max_{name}"):
                break
            found = True
        if found:
            return True
    return False


def coverage(first: Array, second: Array) -> Array:
    """What share of boxes (N, 4) lies in others (N, 4); either may be one alone."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.where((high > low).all(axis=1), np.prod(high - low, axis=1), 0)
    own = np.broadcast_to(areas(first), shared.shape)
    return np.asarray(np.divide(shared, own, out=np.zeros(shared.shape), where=shared > 0))


def emitted(boxes: Array, crop: Array, constraint: EmitConstraint) -> Array:
    """Which boxes (G, 4) stay where a crop is taken: those whose centre, or enough of them, lies inside."""
    if constraint.emit_type == EmitConstraint.CENTER:
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        return np.asarray(((centers >= crop[:2]) & (centers <= crop[2:])).all(axis=1))
    return np.asarray(coverage(boxes, crop[None]) > constraint.emit_overlap)
