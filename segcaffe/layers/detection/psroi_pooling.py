"""PSROIPooling: the mean of each bin of regions, each bin from maps of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import regions
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.regions import RegionLayer, bins, rounded
from segcaffe.layers.registry import register


@register
class PSROIPooling(RegionLayer):
    """The mean of each of group_size x group_size bins of each region.   [R-FCN: Dai et al., NIPS 2016].

    bottoms: maps (N, output_dim group_size^2, H, W), where bin (p, q) of output c reads map (c group_size + p)
    group_size + q; regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels of the image, which
    spatial_scale takes to those of the maps.
    top: (R, output_dim, group_size, group_size); 0 for a bin that lies outside the map.
    """

    options_field = "psroi_pooling_param"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the groups and the scale."""
        options = self.param.psroi_pooling_param
        self.outputs = options.output_dim
        self.check_options("psroi_pooling_param", options.spatial_scale, (options.group_size,) * 2)
        if self.outputs < 1:
            raise self.fail("psroi_pooling_param.output_dim must be at least 1", self.outputs)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """A map of bins for each region."""
        self.check_bottoms(bottom)
        wanted = self.outputs * self.pooled[0] ** 2
        if bottom[0].shape[1] != wanted:
            raise self.fail(f"needs output_dim group_size^2 = {wanted} maps", bottom[0].shape[1])
        top[0].reshape(bottom[1].shape[0], self.outputs, *self.pooled)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Average."""
        self._item, corners = self.regions(bottom)
        number = corners.dtype.type
        start = rounded(corners[:, :2]) * number(self.scale)
        end = (rounded(corners[:, 2:]) + number(1)) * number(self.scale)
        size = np.maximum(end - start, number(0.1)) / number(self.pooled[0])
        (height, width), count = bottom[0].shape[2:], self.pooled[0]
        self._columns = self.table("columns", bins(start[:, 0], size[:, 0], count, width))
        self._rows = self.table("rows", bins(start[:, 1], size[:, 1], count, height))
        tables = (self._item.array, self._rows.array, self._columns.array)
        regions.mean_forward(bottom[0].array, *tables, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Spread each gradient over its bin."""
        if propagate_down[0]:
            tables = (self._item.array, self._rows.array, self._columns.array)
            regions.mean_backward(top[0].grad, *tables, bottom[0].grad)
