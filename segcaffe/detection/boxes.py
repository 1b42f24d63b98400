"""Boxes coded relative to prior boxes, and their overlaps.   [SSD: Liu et al., ECCV 2016, section 2.2]."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Code(NamedTuple):
    """How a box is written down relative to its prior box.

    ``CORNER``: the differences of its corners. ``CORNER_SIZE``: those over the prior's size. ``CENTER_SIZE``: the
    difference of the centres over the prior's size, and the logarithms of the sizes' quotients. Each of the four
    numbers is divided by its variance, unless ``variance_in_target``, where predictions have it in themselves.
    """

    kind: str = "CORNER"
    variance_in_target: bool = False


def decode(code: Code, priors: Array, variances: Array, coded: Array) -> Array:
    """The boxes that numbers stand for.

    Parameters
    ----------
    code:
        How they are coded.
    priors, variances:
        (P, 4).
    coded:
        (..., P, 4).

    Returns
    -------
    Array
        (..., P, 4), of coded's dtype.
    """
    scaled = coded if code.variance_in_target else coded * variances
    if code.kind == "CORNER":
        return np.asarray(priors + scaled)
    sizes = priors[:, 2:] - priors[:, :2]
    if code.kind == "CORNER_SIZE":
        return np.asarray(priors + scaled * np.tile(sizes, 2))
    boxes = np.empty_like(coded)
    centers = scaled[..., :2] * sizes + (priors[:, :2] + priors[:, 2:]) / 2
    with np.errstate(over="ignore"):  # A box that a wild net makes infinite is not kept from the others.
        halves = np.exp(scaled[..., 2:]) * (sizes / 2)
    boxes[..., :2] = centers - halves
    boxes[..., 2:] = centers + halves
    return boxes


def encode(code: Code, priors: Array, variances: Array, boxes: Array) -> Array:
    """The numbers that stand for boxes (P, 4), the inverse of `decode`; priors and boxes need a size above 0."""
    if code.kind == "CORNER":
        coded = boxes - priors
    else:
        sizes = priors[:, 2:] - priors[:, :2]
        if code.kind == "CORNER_SIZE":
            coded = (boxes - priors) / np.tile(sizes, 2)
        else:
            shift = (boxes[:, :2] + boxes[:, 2:] - priors[:, :2] - priors[:, 2:]) / 2 / sizes
            coded = np.concatenate([shift, np.log((boxes[:, 2:] - boxes[:, :2]) / sizes)], axis=1)
    return coded if code.variance_in_target else coded / variances


def areas(boxes: Array, border: float = 0.0) -> Array:
    """Areas of boxes (..., 4); 0 where a corner lies on the wrong side of the other.

    ``border`` is 1 where the corners are pixels that belong to the box, as in VOC.
    """
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return np.where((width < 0) | (height < 0), 0, (width + border) * (height + border))


def overlaps(first: Array, second: Array, border: float = 0.0) -> Array:
    """Intersection over union of each of ``first`` (N, 4) with each of ``second`` (M, 4): (N, M); see `areas`."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.where((high >= low).all(axis=-1), np.prod(high - low + border, axis=-1), 0)
    union = areas(first, border)[:, None] + areas(second, border)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0))
