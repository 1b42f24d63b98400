"""Reshape: the same values under another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.same_memory import SameMemory


@register
class Reshape(SameMemory):
    """The bottom with ``num_axes`` axes from ``axis`` on replaced by those of ``shape``.

    bottom: any shape;  top: as many elements, the same memory.

    In ``shape`` 0 copies the extent at that place of the bottom, and one -1 stands for whatever is left.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the shape."""
        options = self.param.reshape_param
        self.dims = list(options.shape.dim)
        if min(self.dims, default=0) < -1 or self.dims.count(-1) > 1:
            raise self.fail("each dim is positive, 0 (copy) or -1 (the rest), the last once at most.", self.dims)
        if options.num_axes < -1:
            raise self.fail("num_axes must be -1 (all axes from axis on), 0 or more.", options.num_axes)
        self.axis, self.num_axes = options.axis, options.num_axes

    def top_shape(self, bottom: Blobs) -> tuple[int, ...]:
        """Fill in the copied and the inferred extents."""
        shape, count = bottom[0].shape, bottom[0].count
        start, stop = self._range(shape)
        if any(dim == 0 and start + i >= len(shape) for i, dim in enumerate(self.dims)):
            raise self.fail("a dim of 0 copies an axis of the bottom, which has none there.", self._text(shape))
        dims = [shape[start + i] if dim == 0 else dim for i, dim in enumerate(self.dims)]
        if -1 in dims:
            known = [*shape[:start], *(d for d in dims if d != -1), *shape[stop:]]
            # An empty batch: what is left of an item is told by the other extents.
            total, part = (_items(shape), _items(known)) if 0 in known else (count, math.prod(known))
            if total % part:
                raise self.fail("the dim of -1 cannot be found: the others do not divide the count.", self._text(shape))
            dims[dims.index(-1)] = total // part
        result = (*shape[:start], *dims, *shape[stop:])
        if math.prod(result) != count:
            raise self.fail(f"the new shape {result} must have as many elements as the bottom.", self._text(shape))
        return result

    def _range(self, shape: tuple[int, ...]) -> tuple[int, int]:
        # A negative axis counts from one beyond the last: -1 appends axes.
        start = self.axis if self.axis >= 0 else len(shape) + self.axis + 1
        stop = len(shape) if self.num_axes == -1 else start + self.num_axes
        if not 0 <= start <= len(shape) or stop > len(shape):
            raise self.fail("axis and num_axes must lie within the bottom's axes.", self._text(shape))
        return start, stop

    def _text(self, shape: tuple[int, ...]) -> str:
        options = f"dims {self.dims}, axis {self.axis}, num_axes {self.num_axes}"
        return f"{options} for a bottom of shape {shape}"


def _items(extents: Sequence[int]) -> int:
    """Product of the extents that are not 0."""
    return math.prod(extent for extent in extents if extent)
