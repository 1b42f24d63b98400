"""ResizeBilinear: TensorFlow's bilinear resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import copy, interp
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.window.scaling import require_tables, scaled


@register
class ResizeBilinear(Layer):
    """Each pixel of the top is made of the four of the bottom around its place.

    bottom: (N, H, W, C), or with data_format "NCHW" (N, C, H, W);  top: H' and W' in their place: output_height and
    output_width, or H·scale_height and W·scale_width, rounded down.
    Pixel i lies at i·H/H'; with align_corners at i·(H - 1)/(H' - 1); with half_pixel_centers or pytorch_half_pixel at
    (i + 0.5)·H/H' - 0.5, with the latter at -0.5 where H' is 1. Places are computed in float32. From Synopsys' Caffe.
    """

    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the rule."""
        options = self.param.resize_bilinear_param
        if options.align_corners + options.half_pixel_centers + options.pytorch_half_pixel > 1:
            raise self.fail("give one of align_corners, half_pixel_centers and pytorch_half_pixel at most.")
        self.channels_last = options.data_format == "NHWC"
        if options.data_format not in ("NHWC", "NCHW") or bottom[0].ndim != 4:
            rule = "resizes images: data_format is NHWC or NCHW, and the bottom has 4 axes."
            raise self.fail(rule, f"{options.data_format}, shape {bottom[0].shape}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Look up where the top's rows and columns lie."""
        options, shape = self.param.resize_bilinear_param, bottom[0].shape
        if self.channels_last:
            shape = (shape[0], shape[3], *shape[1:3])
        size = [scaled(shape[2], options.scale_height), scaled(shape[3], options.scale_width)]
        size[0] = options.output_height if options.HasField("output_height") else size[0]
        size[1] = options.output_width if options.HasField("output_width") else size[1]
        if min(*size, *shape[2:]) < 1:
            rule = "both images need a pixel: give output_height and output_width, or scales."
            raise self.fail(rule, f"{shape[2:]} to {tuple(size)}")
        require_tables(size)
        tables = [self.places(extent, out) for extent, out in zip(shape[2:], size, strict=True)]
        self._tables = [device.to_device(table) for pair in tables for table in pair]
        planar = (*shape[:2], *size)
        top[0].reshape(*([planar[i] for i in (0, 2, 3, 1)] if self.channels_last else planar))
        if self.channels_last:
            self._planes = self.own_blob("planes", shape), self.own_blob("resized", planar)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Resize."""
        if not self.channels_last:
            interp.forward(bottom[0].array, top[0].array, *self._tables)
            return
        image, resized = (blob.array for blob in self._planes)
        copy.copy(bottom[0].array.transpose(0, 3, 1, 2), image)
        interp.forward(image, resized, *self._tables)
        copy.copy(resized.transpose(0, 2, 3, 1), top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Share each gradient among the four pixels it came from."""
        if not propagate_down[0]:
            return
        if not self.channels_last:
            interp.backward(top[0].grad, bottom[0].grad, *self._tables)
            return
        image, resized = (blob.array for blob in self._planes)
        copy.copy(top[0].grad.transpose(0, 3, 1, 2), resized)
        interp.backward(resized, image, *self._tables)
        copy.copy(image.transpose(0, 2, 3, 1), bottom[0].grad)

    def places(self, size: int, out: int) -> tuple[Array, Array]:
        """For each output pixel the input pixel before its place, and how far beyond that the place lies (0 to 1)."""
        options = self.param.resize_bilinear_param
        aligned = options.align_corners and out > 1
        scale = np.float32(size - 1) / np.float32(out - 1) if aligned else np.float32(size) / np.float32(out)
        pixels, half = np.arange(out, dtype=np.float32), np.float32(0.5)
        place = pixels * scale
        if options.half_pixel_centers or options.pytorch_half_pixel:
            place = (pixels + half) * scale - half
        if options.pytorch_half_pixel and out == 1:
            place = -np.ones(1, np.float32) * half
        low = np.floor(place).astype(np.int32)
        weight = np.where((low >= 0) & (low < size - 1), place - low, 0).astype(np.float32)
        return np.clip(low, 0, size - 1).astype(np.int32), weight
