"""Embeddings as a page holds them: 16-bit floats, or less where they would be too many.

Distances must survive, and L1 distances survive no change of axes, principal components included. So where 16-bit
floats are too large, each channel has 8 bits, and where these are too large as well, only every second, third … cell is
kept: exact for those, but without the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.functional import local_distance
from segcaffe.viz.explore.scene import View

Array = np.ndarray[Any, Any]
_PAIRS = 4096
_FAR_PERCENTILE = 98
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Packed:
    """An embedding (E, h, w) in few bytes: cells one after the other, each with its E values.

    Attributes
    ----------
    shape:
        (E, h, w) of the blob.
    step:
        Every how many cells of a row, and of a column, one is kept.
    data:
        (h', w', E), float16, or uint8 for values ``low + data · unit``.
    low, unit:
        Of each channel, (E,), float32.
    """

    shape: tuple[int, int, int]
    step: int
    data: Array
    low: Array
    unit: Array

    @property
    def bits(self) -> int:
        """How many bits a value takes."""
        return 8 * int(self.data.dtype.itemsize)

    def values(self) -> Array:
        """What the page computes with, (E, h', w'), float32."""
        values = self.data.astype(np.float32) * self.unit + self.low
        return np.ascontiguousarray(values.transpose(2, 0, 1))


@dataclass(frozen=True)
class Loss:
    """What packing changed in the masks of a view, over all pixels: on average, and at most."""

    mean: float
    most: float


def pack(embedding: Array, most_bytes: int) -> Packed:
    """Pack an embedding (E, h, w) into at most ``most_bytes``, or a single cell."""
    halves = np.abs(embedding).max(initial=0) < _LARGEST_HALF
    if halves and 2 * embedding.size <= most_bytes:
        channels = len(embedding)
        data = embedding.transpose(1, 2, 0).astype(np.float16)
        return Packed(embedding.shape, 1, data, np.zeros(channels, np.float32), np.ones(channels, np.float32))
    step = 1
    while embedding[:, ::step, ::step].size > most_bytes and step < max(embedding.shape[1:]):
        step += 1
    low = embedding.min(axis=(1, 2)).astype(np.float32)
    unit = ((embedding.max(axis=(1, 2)) - low) / 255).astype(np.float32)
    unit[unit == 0] = 1
    kept = embedding[:, ::step, ::step].transpose(1, 2, 0)
    data = np.clip(np.rint((kept - low) / unit), 0, 255).astype(np.uint8)
    return Packed(embedding.shape, step, data, low, unit)


def pack_all(embeddings: dict[str, Array], most_bytes: int) -> dict[str, Packed]:
    """Pack several, the smallest first, so that what they leave is the largest's."""
    packed: dict[str, Packed] = {}
    left = most_bytes
    for count, name in enumerate(sorted(embeddings, key=lambda name: embeddings[name].size)):
        packed[name] = pack(embeddings[name], left // (len(embeddings) - count))
        left -= packed[name].data.nbytes
    return packed


def loss(embedding: Array, packed: Packed, view: View) -> Loss:
    """Compare the masks exp(-scale · distance) of the packed values with those of the blob, at the cells kept."""
    kept = np.ascontiguousarray(embedding[:, :: packed.step, :: packed.step], np.float32)
    before, after = (
        np.exp(-view.scale * local_distance(values[None], min(view.kernel, 9), 1, view.norm))
        for values in (kept, packed.values())
    )
    change = np.abs(after - before)
    return Loss(float(change.mean()), float(change.max(initial=0)))


def far(embedding: Array, norm: str) -> float:
    """A distance that few pairs of an embedding's cells exceed: where a picture of distances is darkest."""
    cells = embedding.reshape(len(embedding), -1)
    rng = np.random.default_rng(0)
    first, second = cells[:, rng.integers(cells.shape[1], size=(2, _PAIRS))].transpose(1, 0, 2)
    difference = np.abs(first - second)
    distances = difference.sum(0) if norm == "l1" else 0.5 * (difference**2).sum(0)
    found = float(np.percentile(distances, _FAR_PERCENTILE))
    return found if math.isfinite(found) and found > 0 else 1.0


def principal_axes(values: Array) -> tuple[Array, Array]:
    """Axes (3, E) and offsets (3,) so that ``axes @ value + offset`` is in 0 to 1 for nearly all of (E, h, w).

    The three directions along which the embedding varies most; missing ones of fewer channels are 0.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    centred = flat - flat.mean(1, keepdims=True)
    _, _, directions = np.linalg.svd(centred @ centred.T)
    axes, offsets = np.zeros((3, len(values))), np.full(3, 0.5)
    for i, direction in enumerate(directions[:3]):
        along = direction @ flat
        low, high = np.percentile(along, (1, 99))
        if high > low:
            axes[i], offsets[i] = direction / (high - low), -low / (high - low)
    return axes.astype(np.float32), offsets.astype(np.float32)
