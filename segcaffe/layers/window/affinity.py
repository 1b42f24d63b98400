"""Affinity: how well neighbours belong together."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class Affinity(Layer):
    """The smaller value of each pixel and its neighbour below (channel 0), and of it and that to the right (1).

    bottoms: (N, C, H, W), any number of them;  tops: (N, 2, H, W) each, 0 in the last row and in the last column.

    ``offset`` is the channel whose values are used, one number for each bottom, 0 unless given. The gradient goes to
    the smaller value, of two equal ones to the neighbour's. From Greentea.
    """

    bottom_count = (1, None)
    top_count = (1, None)
    same_count = True
    backward_reads = ("bottoms",)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the channels."""
        given = list(self.param.affinity_param.offset)
        self.offsets = (given + [0] * len(bottom))[: len(bottom)]
        for blob, out, offset in zip(bottom, top, self.offsets, strict=True):
            if blob.ndim != 4 or not 0 <= offset < blob.shape[1]:
                raise self.fail("offset must be a channel of its bottom (N, C, H, W)", f"{offset} of {blob.shape}")
            out.reshape(blob.shape[0], 2, *blob.shape[2:])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare neighbours."""
        for blob, out, offset in zip(bottom, top, self.offsets, strict=True):
            x, y = blob.array[:, offset], out.array
            y[...] = 0
            self.xp.minimum(x[:, :-1, :-1], x[:, 1:, :-1], out=y[:, 0, :-1, :-1])
            self.xp.minimum(x[:, :-1, :-1], x[:, :-1, 1:], out=y[:, 1, :-1, :-1])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Each edge's gradient to one of its ends."""
        for blob, out, offset, wanted in zip(bottom, top, self.offsets, propagate_down, strict=True):
            if not wanted:
                continue
            blob.grad[...] = 0
            x, dx, dy = blob.array[:, offset], blob.grad[:, offset], out.grad[:, :, :-1, :-1]
            here = x[:, :-1, :-1]
            for edge, rows, columns in ((0, slice(1, None), slice(-1)), (1, slice(-1), slice(1, None))):
                smaller = here < x[:, rows, columns]
                dx[:, :-1, :-1] += dy[:, edge] * smaller
                dx[:, rows, columns] += dy[:, edge] * ~smaller
