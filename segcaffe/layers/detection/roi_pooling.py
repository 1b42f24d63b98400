"""ROIPooling: the maximum of each bin of regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import regions
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.regions import RegionLayer, bins, rounded
from segcaffe.layers.registry import register


@register
class ROIPooling(RegionLayer):
    """The maximum of each of pooled_h x pooled_w bins of each region.   [Fast R-CNN: Girshick, ICCV 2015].

    bottoms: maps (N, C, H, W); regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels of the image, which
    spatial_scale takes to those of the maps.
    top: (R, C, pooled_h, pooled_w); 0 for a bin that lies outside the map.

    Corners are rounded to pixels, and both belong to the region; bins are rounded outwards, so that they may overlap.
    """

    options_field = "roi_pooling_param"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of bins and the scale."""
        options = self.param.roi_pooling_param
        sides = list(options.pooled_size) or [options.pooled_h, options.pooled_w]
        self.check_options("roi_pooling_param", options.spatial_scale, (sides[0], sides[-1]))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """A map of bins for each region."""
        self.check_bottoms(bottom)
        top[0].reshape(bottom[1].shape[0], bottom[0].shape[1], *self.pooled)
        self._place = self.own_blob("place", top[0].shape, np.int32, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find the maxima and where they stand."""
        self._item, corners = self.regions(bottom)
        corners = rounded(corners * corners.dtype.type(self.scale))
        size = np.maximum(corners[:, 2:] - corners[:, :2] + 1, 1)
        tables = []
        for name, axis, count, extent in zip(
            ("columns", "rows"), (0, 1), self.pooled[::-1], bottom[0].shape[:1:-1], strict=True
        ):
            # Bins are laid out from 0 and then moved, as the original does it: that decides roundings.
            own = bins(np.zeros_like(size[:, axis]), size[:, axis] / size.dtype.type(count), count, 1 << 30)
            own = (own + corners[:, axis, None, None]).clip(0, extent)
            tables.append(self.table(name, own).array)
        columns, rows = tables
        regions.max_forward(bottom[0].array, self._item.array, rows, columns, top[0].array, self._place.array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The gradient of a maximum goes to where it stood."""
        if propagate_down[0]:
            regions.max_backward(top[0].grad, self._item.array, self._place.array, bottom[0].grad)
