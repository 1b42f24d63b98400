"""Crop: a part of an image, as large as another."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register


@register
class Crop(Layer):
    """Cuts the first bottom to the size of the second, from ``axis`` on.

    bottom: values, and a blob whose sizes from crop_param.axis (default 2; negative: from the end) on are those of
    the top;  top: the values' sizes before that axis. The second bottom gets no gradient: its values are not used.
    offset: how many elements to leave out at the beginning, one number for all cropped axes or one for each; default 0.
    """

    bottom_count = (2, 2)
    gradient_to = (0,)
    refuses_gradient = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the part."""
        values, like = bottom[0].shape, bottom[1].shape
        axis = bottom[0].canonical_axis(self.param.crop_param.axis, self.where)
        if len(like) != len(values):
            raise self.fail("both bottoms must have the same number of axes.", f"shapes {values} and {like}")
        offsets = list(self.param.crop_param.offset)
        if len(offsets) not in (0, 1, len(values) - axis):
            rule = f"offset takes one number for all cropped axes or one for each of the {len(values) - axis} from axis"
            raise self.fail(f"{rule} {axis} on.", f"{len(offsets)} offsets {offsets}")
        if len(offsets) < 2:
            offsets = (offsets or [0]) * (len(values) - axis)
        for i, offset in enumerate(offsets, axis):
            if offset + like[i] > values[i]:
                received = f"offset {offset}, size {like[i]}, of {values[i]}"
                raise self.fail(f"the part must lie inside the first bottom on axis {i}.", received)
        self.part = (slice(None),) * axis + tuple(slice(o, o + like[i]) for i, o in enumerate(offsets, axis))
        top[0].reshape(*values[:axis], *like[axis:])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the part."""
        copy.copy(bottom[0].array[self.part], top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient in the part, 0 elsewhere."""
        if propagate_down[0]:
            bottom[0].grad = 0
            bottom[0].grad[self.part] = top[0].grad
