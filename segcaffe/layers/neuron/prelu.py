"""PReLU: rectified linear units with learnt slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto import caffe_pb2


@register
class PReLU(SavedInput, NeuronLayer):
    """y = x where x > 0, else slope·x, with a slope per channel or (channel_shared) one for all.

    bottom: (N, C, ...);  top: the same;  param blob: slope (C,) or ().   [He et al. 2015]
    """

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The slopes."""
        return 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the slopes, 0.25 unless the filler says otherwise."""
        options = self.param.prelu_param
        self.shared = options.channel_shared
        self._check_axes(bottom)
        default = caffe_pb2.FillerParameter(type="constant", value=0.25)
        shape = () if self.shared else bottom[0].shape[1:2]
        self.add_parameter(shape, options.filler if options.HasField("filler") else default)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of channels against the slopes."""
        self._check_axes(bottom)
        if not self.shared and bottom[0].shape[1] != self.blobs[0].count:
            raise self.fail(
                f"there are slopes for {self.blobs[0].count} channels; the bottom must have as many.",
                f"shape {bottom[0].shape}",
            )
        super().reshape(bottom, top)
        shape = bottom[0].shape
        self._view = (1, 1, bottom[0].count) if self.shared else (shape[0], shape[1], math.prod(shape[2:]))

    def slopes(self, channels: int) -> Array:
        """The slope of each of so many channels."""
        slopes = self.blobs[0].array
        return self.xp.repeat(slopes.reshape(1), channels) if self.shared else slopes

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Rectify."""
        self.save_input(bottom, top)
        view = self._view
        slope = self.blobs[0].array.reshape(-1)
        channelwise.prelu(bottom[0].array.reshape(view), slope, top[0].array.reshape(view))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = dy where x > 0, else slope·dy; the slope's gradient is the sum of x·dy where x <= 0."""
        x, dy = self.saved_input(bottom).reshape(self._view), top[0].grad.reshape(self._view)
        slope = self.blobs[0].array.reshape(-1)
        if self.wants_param(0):
            total = self.xp.empty_like(slope)
            channelwise.prelu_slope_grad(x, dy, total)
            self.blobs[0].grad.reshape(-1)[...] += total
        if propagate_down[0]:
            channelwise.prelu_grad(x, dy, slope, bottom[0].grad.reshape(self._view))

    def _check_axes(self, bottom: Blobs) -> None:
        if not self.shared and bottom[0].ndim < 2:
            raise self.fail("a slope per channel needs a bottom (N, C, ...).", f"shape {bottom[0].shape}")
