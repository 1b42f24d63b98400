"""Interp: bilinear resizing with aligned corners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import interp
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.window.scaling import require_tables


@register
class Interp(Layer):
    """Bilinear resizing; the corner pixels of the output are those of the input.

    bottoms: (N, C, H, W); with use_blob_size one more, (M, D, H', W');  top: (N, C, H', W').
    pad_beg and pad_end (0 or less) first cut that many rows and columns off at the beginning and end of both axes.
    Then H' = height, W' = width; or with shrink_factor s (H - 1) / s + 1, rounded down; or with zoom_factor z
    H + (H - 1)(z - 1); or with both shrink, then zoom (from H to H' at one go). use_blob_size goes before all of these.
    Places are computed in float32, as the original does: output pixel i lies at i·(H - 1)/(H' - 1).
    """

    bottom_count = (1, 2)
    gradient_to = (0,)
    refuses_gradient = False
    backward_reads = ()
    keeps_channels = True
    fork_options = frozenset({"InterpParameter.use_blob_size"})

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the rule for the size."""
        options = self.param.interp_param
        self.crop = -options.pad_beg, -options.pad_end
        if min(self.crop) < 0:
            received = f"pad_beg {options.pad_beg}, pad_end {options.pad_end}"
            raise self.fail("pad_beg and pad_end can only crop: they must be 0 or less.", received)
        self.sized_by_blob = options.use_blob_size
        if self.sized_by_blob != (len(bottom) == 2):
            raise self.fail("takes a second bottom, for its size, with use_blob_size and not without", len(bottom))
        self.factors = None if self.sized_by_blob else self._read_factors()
        if self.sized_by_blob:
            return
        if self.factors is None and min(options.height, options.width) < 1:
            received = f"height {options.height}, width {options.width}"
            raise self.fail("needs height and width (1 or more), or shrink_factor, or zoom_factor.", received)
        if self.factors is not None and min(self.factors) < 1:
            received = f"shrink_factor {options.shrink_factor}, zoom_factor {options.zoom_factor}"
            raise self.fail("factors must be 1 or more.", received)

    def _read_factors(self) -> tuple[int, int] | None:
        """Shrink and zoom, or None for a fixed size; a single factor goes before a size, a size before both factors."""
        options = self.param.interp_param
        given = options.HasField("shrink_factor") + options.HasField("zoom_factor")
        has_size = options.HasField("height") and options.HasField("width")
        return (options.shrink_factor, options.zoom_factor) if given == 1 or (given and not has_size) else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Size the top and look up where its rows and columns lie in the bottom."""
        if bottom[0].ndim != 4:
            raise self.fail("the bottom must have 4 axes (N, C, H, W).", f"shape {bottom[0].shape}")
        if self.sized_by_blob and (bottom[1].ndim != 4 or min(bottom[1].shape[2:]) < 1):
            raise self.fail("bottom 1, for the size, must have 4 axes and a pixel.", f"shape {bottom[1].shape}")
        sizes = [size - sum(self.crop) for size in bottom[0].shape[2:]]
        if min(sizes) < 1:
            received = f"pad_beg {-self.crop[0]}, pad_end {-self.crop[1]}, image {bottom[0].shape[2:]}"
            raise self.fail("cropping by pad_beg and pad_end must leave a pixel.", received)
        out_sizes = list(bottom[1].shape[2:]) if self.sized_by_blob else self._output_size(sizes)
        top[0].reshape(*bottom[0].shape[:2], *out_sizes)
        require_tables(out_sizes)
        tables = [_places(size, out, self.crop[0]) for size, out in zip(sizes, out_sizes, strict=True)]
        self._tables: list[Array] = [device.to_device(table) for pair in tables for table in pair]

    def _output_size(self, sizes: Sequence[int]) -> list[int]:
        if self.factors is None:
            return [self.param.interp_param.height, self.param.interp_param.width]
        shrink, zoom = self.factors
        return [(size - 1) // shrink * zoom + 1 for size in sizes]

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Resize."""
        interp.forward(bottom[0].array, top[0].array, *self._tables)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Share each gradient among the four pixels it came from."""
        if propagate_down[0]:
            interp.backward(top[0].grad, bottom[0].grad, *self._tables)


def _places(size: int, out_size: int, first: int) -> tuple[Array, Array]:
    """For each output pixel the input pixel before its place, and how far beyond that the place lies (0 to 1)."""
    step = np.float32(size - 1) / np.float32(out_size - 1) if out_size > 1 else np.float32(0)
    place = step * np.arange(out_size, dtype=np.float32)
    if size == out_size:
        place = np.arange(size, dtype=np.float32)
    low = place.astype(np.int32)
    weight = np.where(low < size - 1, place - low, 0).astype(np.float32)
    return low + np.int32(first), weight
