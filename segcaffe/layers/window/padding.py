"""Padding: zeros around an image."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.padded import Margins, Padded


@register
class Padding(Padded):
    """Zeros around each image, or with negative numbers a part of it.

    bottom: (N, C, H, W);  top: (N, C, H', W'). DeepLab's first Caffe writes pad_beg (above and left) and pad_end (below
    and right); others pad (all sides) or pad_h and pad_w, or each side (pad_h_top, pad_w_left ...), the first that is
    not 0, or pad_to_power_of_2: up to powers of two, the odd row below and the odd column on the right.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the numbers of rows and columns."""
        options = self.param.padding_param
        pad_h, pad_w = options.pad or options.pad_h, options.pad or options.pad_w
        self.rows = (pad_h, pad_h) if pad_h else (options.pad_h_top, options.pad_h_bottom)
        self.columns = (pad_w, pad_w) if pad_w else (options.pad_w_left, options.pad_w_right)
        if options.HasField("pad_beg") or options.HasField("pad_end"):
            self.rows = self.columns = (options.pad_beg, options.pad_end)
        if bottom[0].ndim != 4:
            raise self.fail("the bottom must have 4 axes (N, C, H, W).", f"shape {bottom[0].shape}")

    def margins(self, shape: tuple[int, ...]) -> Margins:
        """None for batch and channels."""
        rows, columns = self.rows, self.columns
        if self.param.padding_param.pad_to_power_of_2:
            rows, columns = (_to_power_of_2(extent) for extent in shape[2:])
        return [(0, 0), (0, 0), rows, columns]


def _to_power_of_2(extent: int) -> tuple[int, int]:
    missing = (1 << max(0, extent - 1).bit_length()) - extent
    return missing // 2, missing - missing // 2
