"""SpaceToBatchND: pixels become items, as TensorFlow writes dilated convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.blocks import Blocks


@register
class SpaceToBatchND(Blocks):
    """Blocks of the axes behind the batch are dealt out to items: item (i, j, n) has pixel (i, j) of each block.

    bottom: (N, D1, D2, ..., rest);  top: (b1·b2·..·N, (D1 + pads)/b1, (D2 + pads)/b2, ..., rest). block_shape is b;
    ``paddings`` has two numbers of zeros for each of its axes. From Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read blocks and paddings."""
        options = self.param.space_to_batch_nd_param
        self.read_blocks(bottom, list(options.block_shape), list(options.paddings))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Size the top."""
        items, *extents = bottom[0].shape
        padded = [extent + sum(pads) for extent, pads in zip(extents, self.margins, strict=False)]
        if any(extent % size for extent, size in zip(padded, self.block, strict=True)):
            raise self.fail(f"padded extents must be multiples of the blocks {self.block}.", padded)
        rest = extents[len(padded) :]
        self.large = self.own_blob("padded", (items, *padded, *rest))
        blocks = [extent // size for extent, size in zip(padded, self.block, strict=True)]
        top[0].reshape(items * math.prod(self.block), *blocks, *rest)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Pad and deal out."""
        large = self.large.array
        large.fill(0)
        copy.copy(bottom[0].array, large[self._inside()])
        copy.copy(*self._both(large, top[0].array))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Collect, and leave the padding out."""
        if propagate_down[0]:
            large = self.large.array
            copy.copy(*self._both(large, top[0].grad)[::-1])
            copy.copy(large[self._inside()], bottom[0].grad)
