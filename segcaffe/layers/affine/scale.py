"""Scale: product with a parameter or a second bottom, and an optional bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise
from segcaffe.layers.affine.broadcast import Broadcast
from segcaffe.layers.base import Blobs, LayerMemory, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto import caffe_pb2


@register
class Scale(SavedInput, Broadcast):
    """y = scale·x (+ bias), scale and bias broadcast over the other axes.

    bottom: x, and the scale where that is not a parameter;  top: as x.
    param blobs: scale (unless it is bottom 1), bias (if bias_term); both of the shape of num_axes axes from axis on.
    """

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The scale unless it is a bottom, the bias with bias_term."""
        return (bottoms == 1) + param.scale_param.bias_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the parameters: scale 1 and bias 0 unless fillers say otherwise."""
        options = self.param.scale_param
        self.axis = options.axis
        self.has_parameter = len(bottom) == 1
        if self.has_parameter:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            filler = options.filler if options.HasField("filler") else one
            self.add_parameter(self.parameter_shape(bottom, options), filler)
        self.bias_index: int | None = len(self.blobs) if options.bias_term else None
        if self.bias_index is not None:
            self.add_parameter(self._scale(bottom).shape, options.bias_filler)

    def _scale(self, bottom: Blobs) -> Blob:
        return self.blobs[0] if self.has_parameter else bottom[1]

    def follow(self, factor: Array | float, shift: Array | float) -> tuple[Array, Array]:
        """Factor and shift of each channel, those given followed by this layer's, whose scale is a parameter."""
        scale, bias = self._factors(self.blobs[0])
        return factor * scale, shift * scale + bias

    def _factors(self, scale: Blob) -> tuple[Array, Array]:
        factors = scale.array.reshape(-1)
        if self.bias_index is None:
            return factors, self.xp.zeros_like(factors)
        return factors, self.blobs[self.bias_index].array.reshape(-1)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the scale's axes against the bottom's."""
        self._view = self.find_view(bottom, self._scale(bottom), self.axis)
        if self.bias_index is not None and self.blobs[self.bias_index].count != self._view[1]:
            raise self.fail(
                f"the bias has shape {self.blobs[self.bias_index].shape}; the scale must have the same.",
                f"scale of shape {self._scale(bottom).shape}",
            )
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply and add in one pass."""
        scale, bias = self._factors(self._scale(bottom))
        self.save_input(bottom, top)
        channelwise.affine(bottom[0].array.reshape(self._view), scale, bias, top[0].array.reshape(self._view))

    def saves_input(self) -> bool:
        """Where the scale's gradient needs the input."""
        return not self.has_parameter or self.wants_param(0)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Backward reads the bottom, for the scale's gradient."""
        return replace(super().memory(bottom, top, backward), reads_bottoms=self.saves_input(), reads_tops=False)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of bias (sum of dy), scale (sum of x·dy) and bottom (scale·dy)."""
        dy = top[0].grad.reshape(self._view)
        if self.bias_index is not None and self.wants_param(self.bias_index):
            bias_grad = self.blobs[self.bias_index].grad.reshape(-1)
            total = self.xp.empty_like(bias_grad)
            channelwise.channel_sum(dy, total)
            bias_grad += total
        if self.has_parameter and self.wants_param(0):
            total = self._scale_grad(bottom, dy)
            grad = self.blobs[0].grad.reshape(-1)
            grad[...] = total if self._replaces() else grad + total
        elif not self.has_parameter and propagate_down[1]:
            bottom[1].grad.reshape(-1)[...] = self._scale_grad(bottom, dy)
        if propagate_down[0]:
            scale = self._scale(bottom).array.reshape(-1)
            dx = bottom[0].grad.reshape(self._view)
            channelwise.affine(dy, scale, self.xp.zeros_like(scale), dx)

    def _replaces(self) -> bool:
        """Whether the scale's gradient replaces what was there, as recorded of the original.

        The original does so for every per-channel scale in a batch of one, which spoils iter_size and sharing. Ours
        adds; but where the parameter does not learn (lr_mult 0) the gradient is only looked at, and shows the
        original's value.
        """
        items, channels, positions = self._view
        spec = self.param.param
        frozen = len(spec) > 0 and spec[0].lr_mult == 0
        return frozen and items == 1 and channels > 1 and positions > 1

    def _scale_grad(self, bottom: Blobs, dy: Array) -> Array:
        total = self.xp.empty((self._view[1],), self.dtype)
        channelwise.channel_dot(self.saved_input(bottom).reshape(self._view), dy, total)
        return total
