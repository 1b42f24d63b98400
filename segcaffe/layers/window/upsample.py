"""Upsample: larger images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.errors import DataError
from segcaffe.kernels import unpool
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.views import planes
from segcaffe.layers.window.nearest import Repeated

_SIZED = ("upsample_h", "upsample_w", "pad_out_h", "pad_out_w")


@register
class Upsample(Repeated):
    """One bottom: each pixel becomes scale x scale equal pixels. Two: each goes where max pooling found it.

    bottom: (..., H, W);  top: (..., H·scale, W·scale); scale is 2 unless given, or scale_h and scale_w (YOLO's Caffes).

    bottom: x (N, C, H, W) and the places y·W' + x of its values in the top, of the same shape, which the second top of
    Pooling has;  top: (N, C, H', W'), 0 elsewhere. H' and W' are upsample_h and upsample_w, or H and W times scale, one
    less with pad_out_h, pad_out_w where the scale is 2. Of values with one place, where windows overlapped, the last
    counts, and each receives the place's gradient.   [SegNet: Badrinarayanan et al. 2017].
    """

    bottom_count = (1, 2)
    gradient_to = (0,)
    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the factors, or the top's size."""
        options = self.param.upsample_param
        apart = options.HasField("scale_h") and options.HasField("scale_w")
        self.factors = (options.scale_h, options.scale_w) if apart else (options.scale, options.scale)
        self.unpools = len(bottom) == 2
        self.backward_reads = ("bottoms",) if self.unpools else ()
        self.replayable = not self.unpools
        given = [name for name in _SIZED if options.HasField(name)]
        if given and not self.unpools:
            raise self.fail(f"{', '.join(_SIZED)} are for a second bottom, Pooling's second top", ", ".join(given))
        if options.HasField("upsample_h") != options.HasField("upsample_w"):
            raise self.fail("needs upsample_h and upsample_w together", given[0])
        self.check_factors()
        for name, padded, factor in zip("hw", (options.pad_out_h, options.pad_out_w), self.factors, strict=True):
            if padded and factor != 2:
                raise self.fail(f"pad_out_{name} is for a scale of 2", f"scale {factor}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Size the top."""
        if not self.unpools:
            super().reshape(bottom, top)
            return
        shape = bottom[0].shape
        if len(shape) != 4 or bottom[1].shape != shape:
            rule = "needs bottoms (N, C, H, W) of one shape, the values and their places."
            raise self.fail(rule, f"shapes {shape} and {bottom[1].shape}")
        top[0].reshape(*shape[:2], *self.top_size(bottom))
        self._bad = self.own_blob("bad", (1,), np.int64)

    def top_size(self, bottom: Blobs) -> tuple[int, int]:
        """Height and width of the top where there are places."""
        options, (height, width) = self.param.upsample_param, bottom[0].shape[2:]
        if options.HasField("upsample_h"):
            return options.upsample_h, options.upsample_w
        return height * self.factors[0] - options.pad_out_h, width * self.factors[1] - options.pad_out_w

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of the places: pixels of the top, no two the same where it has as many as the bottom."""
        if index == 0 or not self.unpools:
            return None
        height, width = self.top_size(bottom)
        planes, own = bottom[1].shape[:2], bottom[1].shape[2] * bottom[1].shape[3]
        order = rng.random((*planes, max(own, height * width))).argsort(axis=2)[..., :own]
        return (order % (height * width)).reshape(bottom[1].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy to blocks, or to the places; DataError where a place lies outside."""
        if not self.unpools:
            super().forward(bottom, top)
            return
        x, places, y = (_plane_rows(blob.array) for blob in (*bottom, top[0]))
        bad = self._bad.array
        unpool.forward(x, places, y, bad)
        position = int(device.to_host(bad)[0])
        if position >= 0:
            place = float(bottom[1].data.reshape(-1)[position])
            height, width = top[0].shape[2:]
            raise DataError(
                f"{self.where}: place {place:g} (number {position} of {places.size}) is none of the top's "
                f"{height} x {width} pixels. The top must have the size of the bottom of the Pooling whose second top "
                "the places are; set upsample_h and upsample_w to it."
            )

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add up each block, or fetch from the places."""
        if not self.unpools:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            unpool.backward(*(_plane_rows(array) for array in (top[0].grad, bottom[1].array, bottom[0].grad)))


def _plane_rows(array: Array) -> Array:
    """A row for each channel of each item."""
    items, channels, positions = planes(array).shape
    return array.reshape(items * channels, positions)
