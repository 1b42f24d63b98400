"""ROIAlign: regions sampled between pixels, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels import regions
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.regions import RegionLayer
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]
SAMPLES = 2
"""Samples of a bin in each direction, as in the published networks."""
_MOST_SAMPLES = 64
"""So that a few large regions do not take all memory."""


@register
class ROIAlign(RegionLayer):
    """The mean of bilinear samples of each of pooled_h x pooled_w bins.   [Mask R-CNN: He et al., ICCV 2017].

    There are 2 x 2 samples, or with sampling_ratio (sample_ratio) n x n; with 0 or below as many as a bin has pixels of
    the map, rounded up. With position_sensitive bin (p, q) of output c reads map (c pooled_h + p) pooled_w + q, of
    C pooled_h pooled_w maps. The options may stand in roi_pooling_param, too.

    bottoms: maps (N, C, H, W); regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels of the image, which
    spatial_scale takes to those of the maps.
    top: (R, C, pooled_h, pooled_w). Regions are at least 1 pixel of the maps wide and high; samples more than a pixel
    outside count as 0.
    """

    options_field = "roi_align_param"
    other_options = ("roi_pooling_param",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of bins, the scale and how is sampled."""
        options: Any = self.param.roi_align_param
        self.sensitive: bool = options.position_sensitive
        names = [name for name in ("sampling_ratio", "sample_ratio") if options.HasField(name)]
        self.samples: int = getattr(options, names[0]) if names else SAMPLES
        if self.samples > _MOST_SAMPLES:
            raise self.fail(f"roi_align_param.sampling_ratio must be {_MOST_SAMPLES} at most", self.samples)
        field = "roi_align_param"
        if not self.param.HasField(field) and self.param.HasField("roi_pooling_param"):
            field, options = "roi_pooling_param", self.param.roi_pooling_param
        self.check_options(field, options.spatial_scale, (options.pooled_h, options.pooled_w))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """A map of bins for each region."""
        self.check_bottoms(bottom)
        channels, bins = bottom[0].shape[1], self.pooled[0] * self.pooled[1]
        if self.sensitive and channels % bins:
            raise self.fail(
                f"with position_sensitive the number of maps must be a multiple of the {bins} bins", channels
            )
        top[0].reshape(bottom[1].shape[0], channels // bins if self.sensitive else channels, *self.pooled)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Sample."""
        self._item, corners = self.regions(bottom)
        corners = corners * corners.dtype.type(self.scale)
        size = np.maximum(corners[:, 2:] - corners[:, :2], 1)
        self._make_tables(corners, size, bottom[0].shape[2:])
        if self.sensitive:
            for p, q in np.ndindex(*self.pooled):
                part = self.xp.empty((*top[0].shape[:2], 1, 1), self.dtype)
                regions.sample_forward(self._maps(bottom[0].array, p, q), *self._tables(p, q), part)
                top[0].array[:, :, p, q] = part[:, :, 0, 0]
        else:
            regions.sample_forward(bottom[0].array, *self._tables(), top[0].array)
        if self._factor is not None:
            top[0].array *= self._factor.array

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Each gradient goes to the four pixels around its samples."""
        if not propagate_down[0]:
            return
        grad = top[0].grad if self._factor is None else top[0].grad * self._factor.array
        if not self.sensitive:
            regions.sample_backward(grad, *self._tables(), bottom[0].grad)
            return
        for p, q in np.ndindex(*self.pooled):
            part = self.xp.empty_like(self._maps(bottom[0].grad, p, q))
            own = self.xp.ascontiguousarray(grad[:, :, p : p + 1, q : q + 1])
            regions.sample_backward(own, *self._tables(p, q), part)
            bottom[0].grad[:, p * self.pooled[1] + q :: self.pooled[0] * self.pooled[1]] = part

    def _maps(self, x: Any, p: int, q: int) -> Any:
        """The maps that a bin reads."""
        return self.xp.ascontiguousarray(x[:, p * self.pooled[1] + q :: self.pooled[0] * self.pooled[1]])

    def _tables(self, p: int = -1, q: int = -1) -> tuple[Any, Any, Any]:
        """Items, and places and weights of all samples, or of those of a bin."""
        low, weight = self._low.array, self._weight.array
        if p >= 0:
            count = low.shape[1] // sum(self.pooled)
            parts = [slice(i * count, (i + 1) * count) for i in (p, self.pooled[0] + q)]
            low, weight = (self.xp.concatenate([table[:, part] for part in parts], axis=1) for table in (low, weight))
        return self._item.array, low, weight

    def _make_tables(self, corners: Array, size: Array, extents: Sequence[int]) -> None:
        """Where the samples of rows and columns lie; of fewer samples than others the rest lies outside."""
        pooled, axes = np.array(self.pooled), (1, 0)
        if self.samples > 0:
            counts = np.full((len(size), 2), self.samples)
        else:
            counts = np.ceil(size[:, ::-1] / pooled.astype(size.dtype)).astype(int).clip(1, _MOST_SAMPLES)
        most = int(counts.max(initial=1))
        places = [
            _samples(corners[:, axis], size[:, axis], (self.pooled[i], most), counts[:, i], extents[i])
            for i, axis in enumerate(axes)
        ]
        self._low = self.table("low", np.concatenate([low for low, _ in places], axis=1))
        self._weight = self.table("weight", np.concatenate([weight for _, weight in places], axis=1), self.dtype)
        self._factor = None
        if (counts != most).any():
            factor = (most * most / counts.prod(axis=1)).reshape(-1, 1, 1, 1)
            self._factor = self.table("factor", factor, self.dtype)


def _samples(start: Array, size: Array, counts: tuple[int, int], used: Array, extent: int) -> tuple[Array, Array]:
    """Of the samples of each bin (R, bins samples): the pixel before it (-1: outside), and how far beyond it lies.

    ``counts`` are the bins and the samples that a bin has room for; a region uses ``used`` (R,) of them.
    """
    bins, samples = counts
    number = np.arange(samples)[None, :] + 0.5
    within = (number / used[:, None])[:, None, :] + np.arange(bins)[None, :, None]
    place = start[:, None] + within.reshape(len(start), bins * samples).astype(size.dtype) * size[
        :, None
    ] / size.dtype.type(bins)
    unused = np.tile(np.arange(samples)[None, :] >= used[:, None], (1, bins))
    outside = (place < -1) | (place > extent) | unused
    place = place.clip(0, extent - 1)
    low = np.floor(place)
    return np.where(outside, -1, low), np.where(outside, 0, place - low)
