"""MalisLoss: which pixels a segmentation by affinities would join and should not, or the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.errors import DataError
from segcaffe.kernels import malis
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import whole_numbers
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]


@register
class MalisLoss(Layer):
    """Half the mean of a² over pairs of pixels to keep apart, half that of (1 - a)² over pairs to join; items' mean.

    bottoms: affinities (N, edges, [[Z,] Y,] X), the true ones, areas (N, 1 or 2, [[Z,] Y,] X), optionally the edges'
    directions (..., edges, 3) as steps in Z, Y, X; without them edges go to the next pixel on the last axes, +X last.
    tops: scalar; optionally the affinities.

    a is the affinity of the edge that joins a pair: the smallest one on the best path between the two, in a maximum
    spanning tree. Pairs of one area should be joined, pairs of different areas kept apart; pixels of area 0 do not
    count. The first pairs are looked for among the smaller of affinity and true one, the others among the larger, so
    that errors do not hide each other; with two channels of areas the others are told by the first channel. Of equal
    affinities the first edge comes first.   [MALIS: Turaga et al. 2009; constrained: Funke et al. 2018].
    """

    options_field = "loss_param"
    bottom_count = (3, 4)
    top_count = (1, 2)
    auto_tops = True
    loss = True
    gradient_to = (0,)
    refuses_gradient = False
    backward_reads = ()
    replayable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        shape, areas = bottom[0].shape, bottom[2].shape
        if not 3 <= len(shape) <= 5 or bottom[1].shape != shape:
            received = f"shapes {shape} and {bottom[1].shape}"
            raise self.fail("affinities and the true ones must be (N, edges, [[Z,] Y,] X), of one shape", received)
        if len(areas) < 2 or areas[0] != shape[0] or areas[1] not in (1, 2) or areas[2:] != shape[2:]:
            raise self.fail("the areas must be (N, 1 or 2, ...) with the affinities' pixels", f"{areas}, {shape}")
        if len(bottom) < 4 and shape[1] > 3:
            raise self.fail("more than 3 edges need a fourth bottom, their directions", f"{shape[1]} edges")
        if len(bottom) == 4 and bottom[3].count != 3 * shape[1]:
            received = f"shape {bottom[3].shape}, {shape[1]} edges"
            raise self.fail("the directions must be 3 numbers for each edge", received)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(bottom[0])
        self._slope = self.own_blob("slope", shape, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Two trees for each item; what they say of the gradient is kept."""
        given, true, areas = bottom[0].data, bottom[1].data, whole_numbers(self, bottom[2])
        if not (np.isfinite(given).all() and np.isfinite(true).all()):
            raise DataError(f"{self.where}: affinities must be finite numbers.")
        places, ends = self._edges(bottom)
        slope = self._slope.data
        slope[...] = 0
        total = 0.0
        for n in range(len(given)):
            for joins, one in ((0, np.maximum(given[n], true[n])), (1, np.minimum(given[n], true[n]))):
                labels = areas[n, min(joins, areas.shape[1] - 1)].ravel()
                weights = one.ravel()[places].astype(np.float64)
                share = _shares(weights, ends, labels, bool(joins))
                error = weights - joins
                total += float(share @ (error * error)) / 2
                own = given[n].ravel()[places] == one.ravel()[places]
                slope[n].reshape(-1)[places] += share * error * own
        top[0].data[...] = total / max(1, len(given))
        slope /= max(1, len(given))
        if len(top) > 1:
            top[1].array[...] = bottom[0].array

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The gradient of the loss, where the affinity and not the true one was looked at."""
        if propagate_down[0]:
            self.xp.multiply(self._slope.array, self.dtype.type(float(top[0].diff)), out=bottom[0].grad)

    def _edges(self, bottom: Blobs) -> tuple[Array, Array]:
        """The flat places of all edges that stay in the image, and the pixels at their ends (2, edges)."""
        shape = bottom[0].shape[1:]
        edges, spatial = shape[0], (1,) * (4 - len(shape)) + shape[1:]
        steps = np.eye(3, dtype=np.int64)[-edges:] if len(bottom) < 4 else self._steps(bottom)
        pixels = np.arange(np.prod(spatial)).reshape(spatial)
        z, y, x = np.indices(spatial)
        places, ends = [], []
        for edge, (dz, dy, dx) in enumerate(steps.tolist()):
            to = z + dz, y + dy, x + dx
            inside = np.logical_and.reduce([(t >= 0) & (t < size) for t, size in zip(to, spatial, strict=True)])
            ends.append(np.stack([pixels[inside], pixels[tuple(t[inside] for t in to)]]))
            places.append(edge * pixels.size + pixels[inside])
        return np.concatenate(places), np.concatenate(ends, axis=1)

    def _steps(self, bottom: Blobs) -> Array:
        return whole_numbers(self, bottom[3]).reshape(-1, 3)


def _shares(weights: Array, ends: Array, labels: Array, joins: bool) -> Array:
    """For each edge the share of all pairs (of one area, or of different ones) that it joins first."""
    pairs = np.empty((2, weights.size), np.int64)
    malis.joined(np.ascontiguousarray(ends), np.argsort(-weights, kind="stable"), labels, pairs)
    counts = np.unique(labels[labels != 0], return_counts=True)[1]
    same = int((counts * (counts - 1) // 2).sum())
    all_pairs = int(counts.sum()) * (int(counts.sum()) - 1) // 2
    shares: Array = pairs[0 if joins else 1] / max(1, same if joins else all_pairs - same)
    return shares
