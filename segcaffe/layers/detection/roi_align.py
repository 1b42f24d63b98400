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


@register
class ROIAlign(RegionLayer):
    """The mean of 2 x 2 bilinear samples of each of pooled_h x pooled_w bins.   [Mask R-CNN: He et al., ICCV 2017].

    bottoms: maps (N, C, H, W); regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels of the image, which
    spatial_scale takes to those of the maps.
    top: (R, C, pooled_h, pooled_w). Regions are at least 1 pixel of the maps wide and high; samples more than a pixel
    outside count as 0.
    """

    options_field = "roi_align_param"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of bins and the scale."""
        options = self.param.roi_align_param
        self.check_options("roi_align_param", options.spatial_scale, (options.pooled_h, options.pooled_w))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """A map of bins for each region."""
        self.check_bottoms(bottom)
        top[0].reshape(bottom[1].shape[0], bottom[0].shape[1], *self.pooled)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Sample."""
        self._item, corners = self.regions(bottom)
        corners = corners * corners.dtype.type(self.scale)
        size = np.maximum(corners[:, 2:] - corners[:, :2], 1)
        places = [_samples(corners[:, 1], size[:, 1], self.pooled[0], bottom[0].shape[2]),
                  _samples(corners[:, 0], size[:, 0], self.pooled[1], bottom[0].shape[3])]  # fmt: skip
        self._low = self.table("low", np.concatenate([low for low, _ in places], axis=1))
        self._weight = self.table("weight", np.concatenate([weight for _, weight in places], axis=1), self.dtype)
        tables = (self._item.array, self._low.array, self._weight.array)
        regions.sample_forward(bottom[0].array, *tables, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Each gradient goes to the four pixels around its samples."""
        if propagate_down[0]:
            tables = (self._item.array, self._low.array, self._weight.array)
            regions.sample_backward(top[0].grad, *tables, bottom[0].grad)


def _samples(start: Array, size: Array, count: int, extent: int) -> tuple[Array, Array]:
    """Of the samples of each bin (R, count SAMPLES): the pixel before it (-1: outside), and how far beyond it lies."""
    number = (np.arange(count * SAMPLES) + 0.5) / SAMPLES
    place = start[:, None] + number.astype(size.dtype) * size[:, None] / size.dtype.type(count)
    outside = (place < -1) | (place > extent)
    place = place.clip(0, extent - 1)
    low = np.floor(place)
    return np.where(outside, -1, low), np.where(outside, 0, place - low)
