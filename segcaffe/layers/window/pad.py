"""Pad: a constant around the bottom."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.padded import Margins, Padded


@register
class Pad(Padded):
    """constant_values before and behind each axis: ``paddings`` has two numbers for each.

    bottom: any shape;  top: larger by the paddings. From Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the paddings."""
        options = self.param.pad_param
        self.paddings, self.value = list(options.paddings), options.constant_values
        if len(self.paddings) != 2 * bottom[0].ndim:
            rule = f"pad_param.paddings has two numbers for each axis, {2 * bottom[0].ndim} here."
            raise self.fail(rule, self.paddings)

    def margins(self, shape: tuple[int, ...]) -> Margins:
        """Those given."""
        return list(zip(self.paddings[::2], self.paddings[1::2], strict=True))
