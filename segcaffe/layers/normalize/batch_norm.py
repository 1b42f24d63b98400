"""BatchNorm: zero mean and unit variance of each channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.kernels import batch_norm
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto import caffe_pb2


@register
class BatchNorm(SavedInput, NeuronLayer):
    """Top = (x - mean) / sqrt(variance + eps), for each channel; no scale or shift (see the Scale layer).

    bottom: (N, C, ...) or (N), one channel; top: the same shape, also in place.
    blobs: running sums of means (C,) and variances (C,), and the factor (1,) that both are to be divided by.

    Mean and variance are the stored ones with use_global_stats (the default in TEST). Otherwise they are those of the
    batch, and the running sums are updated: old values count moving_average_fraction, the variance is made unbiased.
    With update_global_stats and stored statistics, TRAIN takes only the mean from them: the variance is that of the
    batch around the stored mean, and both are added to the running sums.
    [Ioffe, Szegedy 2015]
    """

    statistics = True

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Mean, variance and their factor."""
        return 3

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options, make the three blobs."""
        param = self.param.batch_norm_param
        self.use_stored: bool = param.use_global_stats if param.HasField("use_global_stats") else not self.training
        self.backward_reads = ("bottoms",) if self.saves_input() else ()
        self.update = not self.use_stored or (self.training and param.update_global_stats)
        self.fraction: float = param.moving_average_fraction
        self.eps: float = param.eps
        if not 0 <= self.fraction <= 1:
            raise self.fail("moving_average_fraction must lie in 0..1", f"{self.fraction:g}")
        if self.eps < 0:
            raise self.fail("eps must not be negative", f"{self.eps:g}")
        if any(spec.lr_mult != 0 for spec in self.param.param):
            raise self.fail("its parameters are statistics, not learnt; remove its param entries, or set lr_mult: 0")
        self.channels = self._layout(bottom)[1]
        for size in (self.channels, self.channels, 1):
            self.add_parameter((size,), caffe_pb2.FillerParameter(type="constant", value=0))

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec:
        """Statistics are not for the solver, whose weight decay would spoil them."""
        given = index < len(self.param.param)
        return super().param_spec(index) if given else caffe_pb2.ParamSpec(lr_mult=0)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of channels."""
        super().reshape(bottom, top)
        self.layout = self._layout(bottom)
        if self.layout[1] != self.channels:
            raise self.fail(f"the number of channels cannot change from {self.channels}", f"shape {bottom[0].shape}")
        self.mean, self.variance = (self.own_blob(name, (self.channels,), np.float64) for name in ("mean", "variance"))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize; update the running sums."""
        self.save_input(bottom, top)
        x = bottom[0].array.reshape(self.layout)
        batch = self.mean.array, self.variance.array
        if self.update:
            batch_norm.moments(x, *batch)
        mean, variance = (self._stored(0), self._stored(1)) if self.use_stored else batch
        if self.use_stored and self.update:
            variance = batch[1] + (batch[0] - mean) ** 2
        self.used_mean, self.scale = mean, 1 / self.xp.sqrt(variance + self.eps)
        batch_norm.normalize(x, mean, self.scale, top[0].array.reshape(self.layout))
        if self.update:
            self._update_running_sums(mean, variance)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize by the statistics that `forward` used; the running sums stay."""
        self.save_input(bottom, top)
        x = bottom[0].array.reshape(self.layout)
        batch_norm.normalize(x, self.used_mean, self.scale, top[0].array.reshape(self.layout))

    def saves_input(self) -> bool:
        """Where the gradient goes through the batch's statistics."""
        return not self.use_stored

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of x; through the statistics too where they are the batch's."""
        if not propagate_down[0]:
            return
        grad, out = top[0].grad.reshape(self.layout), bottom[0].grad.reshape(self.layout)
        if self.use_stored:
            # Where nothing is updated, from the blobs: another layer may have done the forward pass.
            scale = self.scale if self.update else 1 / self.stored_statistics()[1]
            batch_norm.normalize(grad, self.xp.zeros_like(scale), scale, out)
            return
        x = self.saved_input(bottom).reshape(self.layout)
        batch_norm.backward(x, self.used_mean, self.scale, grad, out)

    def follow(self, factor: Array | float, shift: Array | float) -> tuple[Array, Array]:
        """Factor and shift of each channel, those given followed by the division with stored statistics."""
        mean, deviation = self.stored_statistics()
        return factor / deviation, (shift - mean) / deviation

    def _layout(self, bottom: Blobs) -> tuple[int, int, int]:
        """Batch, channels, and all other axes as one."""
        shape = bottom[0].shape
        if not shape:
            raise self.fail("needs a batch axis", "a scalar bottom")
        return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], math.prod(shape[2:]))

    def stored_statistics(self) -> tuple[Array, Array]:
        """The running mean and the square root of the running variance and eps, for each channel."""
        return self._stored(0), self.xp.sqrt(self._stored(1) + self.eps)

    def _stored(self, index: int) -> Array:
        """A running average; 0 while nothing was stored."""
        factor = self.blobs[2].array[0]
        return self.blobs[index].array.astype(np.float64) * self.xp.where(factor == 0, 0, 1 / (factor + (factor == 0)))

    def _update_running_sums(self, used_mean: Array, used_variance: Array) -> None:
        mean, variance, factor = (blob.array for blob in self.blobs)
        count = self.layout[0] * self.layout[2]
        unbiased = count / (count - 1) if count > 1 else 1.0
        factor *= self.fraction
        factor += 1
        mean[...] = self.fraction * mean + used_mean
        variance[...] = self.fraction * variance + unbiased * used_variance
