"""For layers that slide a window of ``convolution_param`` over the axes behind the channels."""

from __future__ import annotations

import math
from typing import Any

from segcaffe.layers.base import Blobs, Layer
from segcaffe.window import Window


class SlidingWindow(Layer):
    """Each bottom is (batch axes, C, spatial axes), the channels on ``convolution_param.axis`` (default 1).

    Attributes
    ----------
    axis:
        The channels' axis.
    window:
        Kernel, stride, pad and dilation.
    """

    options_field = "convolution_param"
    axis: int
    window: Window

    def read_window(self, bottom: Blobs) -> None:
        """Set ``axis`` and ``window``; ShapeError unless 1 to 3 spatial axes follow the channels."""
        param = self.param.convolution_param
        self.axis = bottom[0].canonical_axis(param.axis, self.where)
        num_spatial = bottom[0].ndim - self.axis - 1
        if not 1 <= num_spatial <= 3:
            raise self.fail(
                f"needs 1 to 3 spatial axes behind the channels, which are on axis {self.axis}.",
                f"a bottom of shape {bottom[0].shape}",
            )
        self.window = Window.from_convolution(param, num_spatial, self.where)

    def folded(self, array: Any) -> Any:
        """View an array as (N, C, spatial axes): all batch axes as one."""
        return array.reshape(self.folded_shape(array.shape))

    def folded_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape as (N, C, spatial axes)."""
        return (math.prod(shape[: self.axis]), *shape[self.axis :])
