"""What SpaceToBatchND and BatchToSpaceND share: blocks of the axes behind the batch, dealt out to items."""

from __future__ import annotations

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer


class Blocks(Layer):
    """Item (i, j, n) of one side has pixel (i, j) of each block of the other, which has margins."""

    backward_reads = ()
    large: Blob

    def read_blocks(self, bottom: Blobs, block: list[int], margins: list[int]) -> None:
        """Check the sizes."""
        self.block, self.margins = tuple(block), tuple(zip(margins[::2], margins[1::2], strict=False))
        if min(self.block, default=0) < 1 or len(margins) != 2 * len(block) or bottom[0].ndim <= len(block):
            rule = "needs a size for each blocked axis behind the batch, and two paddings or crops for each."
            raise self.fail(rule, f"{block} and {margins} for a bottom of shape {bottom[0].shape}")

    def _inside(self) -> tuple[slice, ...]:
        """Where in the padded blob the values lie."""
        extents = self.large.shape[1:]
        parts = [slice(a, extent - b) for extent, (a, b) in zip(extents, self.margins, strict=False)]
        return (slice(None), *parts)

    def _both(self, large: Array, small: Array) -> tuple[Array, Array]:
        """The padded values and those dealt out, both as (blocks, batch, axes of blocks, rest)."""
        count, (items, *extents) = len(self.block), self.large.shape
        pairs = [n for extent, size in zip(extents, self.block, strict=False) for n in (extent // size, size)]
        rest = extents[count:]
        axes = [
            *range(2, 2 * count + 1, 2),
            0,
            *range(1, 2 * count, 2),
            *range(2 * count + 1, 2 * count + 1 + len(rest)),
        ]
        view = large.reshape(items, *pairs, *rest).transpose(axes)
        return view, small.reshape(view.shape)
