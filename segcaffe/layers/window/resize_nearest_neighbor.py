"""ResizeNearestNeighbor: TensorFlow's resizing to the nearest pixel."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.nearest import Picked
from segcaffe.layers.window.scaling import require_tables, scaled


@register
class ResizeNearestNeighbor(Picked):
    """Each pixel of the top is the nearest of the bottom.

    bottom: (N, H, W, C), or with data_format "NCHW" (N, C, H, W);  top: H' and W' in their place: output_height and
    output_width, or H·scale_height and W·scale_width, rounded down.
    Pixel i is pixel floor(i·H/H'); with align_corners round(i·(H - 1)/(H' - 1)); with half_pixel_centers
    floor((i + 0.5)·H/H'), with half_pixel_onnx that less 0.5. Places are computed in float32. From Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the rule."""
        options = self.param.resize_nearest_neighbor_param
        if options.align_corners + options.half_pixel_centers + options.half_pixel_onnx > 1:
            raise self.fail("give one of align_corners, half_pixel_centers and half_pixel_onnx at most.")

    def spatial(self) -> tuple[int, int]:
        """By data_format: NHWC unless told otherwise."""
        return (1, 2) if self.param.resize_nearest_neighbor_param.data_format == "NHWC" else (2, 3)

    def tables(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Where the rows and columns come from."""
        options = self.param.resize_nearest_neighbor_param
        height, width = (shape[axis] for axis in self.spatial())
        rows = options.output_height if options.HasField("output_height") else scaled(height, options.scale_height)
        columns = options.output_width if options.HasField("output_width") else scaled(width, options.scale_width)
        if min(rows, columns) < 1:
            raise self.fail("the top needs a pixel: output_height and output_width, or scales.", f"{rows} x {columns}")
        require_tables((rows, columns))
        return self._table(height, rows), self._table(width, columns)

    def _table(self, size: int, out: int) -> Array:
        options = self.param.resize_nearest_neighbor_param
        aligned = options.align_corners and out > 1
        scale = np.float32(size - 1) / np.float32(out - 1) if aligned else np.float32(size) / np.float32(out)
        pixels = np.arange(out, dtype=np.float32)
        if options.half_pixel_onnx:
            places = np.floor(((pixels + np.float32(0.5)) * scale).astype(np.float64) - 0.5)
        elif options.half_pixel_centers:
            places = np.floor((pixels + np.float32(0.5)) * scale)
        elif options.align_corners:
            places = np.floor(pixels * scale + np.float32(0.5))
        else:
            places = np.floor(pixels * scale)
        return np.clip(places.astype(np.int64), 0, size - 1)
