"""MergeCrop: Greentea's join of an image with the middle of a larger one."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import MergeCropParameter


@register
class MergeCrop(Layer):
    """The first bottom, and the middle of the second: one behind the other (STACK), or their sum (ADD).

    bottoms: (N, C, spatial), (N, C', spatial') with spatial' as large as spatial or larger;
    top: (N, C + C', spatial) or, with ADD, where C' is C, (N, C, spatial).

    The middle begins at (spatial' - spatial) / 2, rounded down. ``forward`` tells of each bottom whether its values
    are used (otherwise zeros; both are unless told), ``backward`` whether it gets its gradient (otherwise zeros; unless
    told the first one does). Any number of spatial axes. From Greentea.   [U-Net: Ronneberger et al. 2015].
    """

    options_field = "mergecrop_param"
    bottom_count = (2, 2)
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the operation and the flags."""
        options = self.param.mergecrop_param
        self.adds = options.operation == MergeCropParameter.ADD
        self.uses = self._flags("forward", (True, True))
        self.learns = self._flags("backward", (True, False))

    def _flags(self, name: str, default: tuple[bool, bool]) -> tuple[bool, ...]:
        given = tuple(getattr(self.param.mergecrop_param, name))
        if len(given) > 2:
            raise self.fail(f"{name} is given once for each bottom", f"{len(given)} times")
        return given + default[len(given) :]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the middle."""
        a, b = bottom[0].shape, bottom[1].shape
        if len(a) < 2 or len(a) != len(b) or a[0] != b[0]:
            raise self.fail("both bottoms must be (N, C, spatial axes) with the same N", f"shapes {a} and {b}")
        if any(large < small for small, large in zip(a[2:], b[2:], strict=True)):
            raise self.fail("the second bottom must be as large as the first or larger", f"shapes {a} and {b}")
        if self.adds and a[1] != b[1]:
            raise self.fail("operation: ADD needs the same channels in both bottoms", f"{a[1]} and {b[1]}")
        starts = [(large - small) // 2 for small, large in zip(a[2:], b[2:], strict=True)]
        middle = tuple(slice(start, start + size) for start, size in zip(starts, a[2:], strict=True))
        self.parts = ((), (slice(None), slice(None), *middle))
        channels = (slice(None), slice(None)) if self.adds else (slice(a[1]), slice(a[1], None))
        self._places = tuple((slice(None), part) for part in channels)
        top[0].reshape(a[0], a[1] if self.adds else a[1] + b[1], *a[2:])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy, or add up."""
        out = top[0].array
        if self.adds or not all(self.uses):
            out[...] = 0
        for blob, part, place, used in zip(bottom, self.parts, self._places, self.uses, strict=True):
            if used and self.adds:
                out[place] += blob.array[part]
            elif used:
                out[place] = blob.array[part]

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The top's gradient at each bottom's place; zeros around the middle."""
        for i, wanted in enumerate(propagate_down):
            if wanted:
                bottom[i].grad[...] = 0
            if wanted and self.learns[i]:
                bottom[i].grad[self.parts[i]] = top[0].grad[self._places[i]]


@register
class Mergecrop(MergeCrop):
    """As `MergeCrop`, with its bottoms and its top."""
