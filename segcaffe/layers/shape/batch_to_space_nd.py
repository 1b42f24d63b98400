"""BatchToSpaceND: items become pixels, the inverse of SpaceToBatchND."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.blocks import Blocks


@register
class BatchToSpaceND(Blocks):
    """Items are laid out as blocks of the axes behind the batch: pixel (i, j) of each block is item (i, j, n)'s.

    bottom: (b1·b2·..·N, D1, D2, ..., rest);  top: (N, D1·b1 - crops, D2·b2 - crops, ..., rest). block_shape is b;
    ``crops`` has two numbers for each of its axes, of what is cut off. From Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read blocks and crops."""
        options = self.param.batch_to_space_nd_param
        self.read_blocks(bottom, list(options.block_shape), list(options.crops))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Size the top."""
        items, *extents = bottom[0].shape
        if items % math.prod(self.block):
            raise self.fail(f"the batch must be a multiple of {math.prod(self.block)}, the block's size.", items)
        whole = [extent * size for extent, size in zip(extents, self.block, strict=False)]
        left = [extent - sum(crops) for extent, crops in zip(whole, self.margins, strict=True)]
        if min(left) < 1:
            raise self.fail("crops must leave something.", f"{self.margins} of {whole}")
        rest = extents[len(whole) :]
        self.large = self.own_blob("padded", (items // math.prod(self.block), *whole, *rest))
        top[0].reshape(items // math.prod(self.block), *left, *rest)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Collect and cut."""
        large = self.large.array
        copy.copy(*self._both(large, bottom[0].array)[::-1])
        copy.copy(large[self._inside()], top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Deal out, with 0 for what was cut off."""
        if propagate_down[0]:
            large = self.large.array
            large.fill(0)
            copy.copy(top[0].grad, large[self._inside()])
            copy.copy(*self._both(large, bottom[0].grad))
