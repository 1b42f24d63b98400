"""What the layers over regions have in common: the regions themselves, and the bins that they are cut into."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Layer

Array = np.ndarray[Any, Any]
_MOST_BINS = 4096
"""More than a map has pixels on a side."""


class RegionLayer(Layer):
    """bottoms: maps (N, C, H, W); regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels of the image."""

    bottom_count = (2, 2)
    gradient_to = (0,)
    region_bottom = 1
    refuses_gradient = False
    backward_reads = ()
    replayable = False
    scale: float
    pooled: tuple[int, int]

    def check_options(self, field: str, scale: float, pooled: tuple[int, int]) -> None:
        """Keep scale and number of bins; an error where they cannot be."""
        if min(pooled) < 1 or max(pooled) > _MOST_BINS:
            rule = f"{field} must say how many bins there are, at least 1 each way and {_MOST_BINS} at most"
            raise self.fail(rule, pooled)
        if not 0 < scale < np.inf:
            raise self.fail(f"{field}.spatial_scale must be above 0", scale)
        self.scale, self.pooled = scale, pooled

    def check_bottoms(self, bottom: Blobs) -> None:
        """An error where the shapes are no maps and regions."""
        maps, regions = bottom[0].shape, bottom[1].shape
        if len(maps) != 4 or min(maps[1:]) < 1 or not regions or bottom[1].count != 5 * regions[0]:
            rule = "needs maps (N, C, H, W), with a channel and a pixel, and regions (R, 5)"
            raise self.fail(rule, f"shapes {maps} and {regions}")

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of bottom 1: regions inside the image, in no order, a few of them small."""
        if index != self.region_bottom:
            return None
        items, _, height, width = bottom[0].shape
        regions = np.zeros((bottom[1].shape[0], 5), np.float32)
        regions[:, 0] = rng.integers(max(1, items), size=len(regions))
        for axis, extent in ((1, width), (2, height)):
            corners = np.sort(rng.uniform(0, extent / self.scale - 1, (2, len(regions))), axis=0)
            regions[:, axis], regions[:, axis + 2] = corners.round()
        return regions.reshape(bottom[1].shape)

    def regions(self, bottom: Blobs) -> tuple[Blob, Array]:
        """The items that regions lie in, a blob of the layer's own (R,), and their corners (R, 4)."""
        regions = bottom[1].data.reshape(-1, 5)
        item = regions[:, 0]
        wrong = ~((item > -1) & (item < bottom[0].shape[0]) & np.isfinite(regions).all(axis=1))
        if wrong.any():
            raise DataError(
                f"{self.where}: a region is the number of an item of the batch, 0 to {bottom[0].shape[0] - 1}, and "
                f"four corners. Received: {regions[wrong][0].tolist()}."
            )
        return self.table("item", item), regions[:, 1:]

    def table(self, name: str, values: Array, dtype: Any = np.int32) -> Blob:
        """A blob of the layer's own with these values."""
        blob = self.own_blob(name, values.shape, dtype)
        blob.data = values.astype(blob.data.dtype)
        return blob


def bins(start: Array, size: Array, count: int, extent: int) -> Array:
    """First and one after the last pixel (R, count, 2) of bins of a size (R,), from a start (R,), within the extent."""
    number = np.arange(count, dtype=size.dtype)
    begin = np.floor(number * size[:, None] + start[:, None])
    end = np.ceil((number + 1) * size[:, None] + start[:, None])
    return np.stack([begin, end], axis=-1).clip(0, extent).astype(np.int32)


def rounded(values: Array) -> Array:
    """To the nearest whole number, halves away from zero, as C's round."""
    return np.asarray(np.copysign(np.floor(np.abs(values) + values.dtype.type(0.5)), values))
