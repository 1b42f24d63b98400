"""BatchNorm: zero mean and unit variance of each channel, and in some Caffes a factor and an addend for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.kernels import batch_norm, channelwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording

_ZERO, _ONE = (caffe_pb2.FillerParameter(type="constant", value=value) for value in (0, 1))


def _learns(param: caffe_pb2.BatchNormParameter) -> tuple[bool, bool]:
    """Whether there are a scale and a shift: NVIDIA's and Intel's Caffes have them inside."""
    fillers = any(param.HasField(name) for name in ("scale_filler", "bias_filler", "filler"))
    wanted = param.use_weight_bias if param.HasField("use_weight_bias") else fillers
    scales = param.scale_bias or wanted
    return scales, scales and param.bias_term


@register
class BatchNorm(SavedInput, NeuronLayer):
    """Top = (x - mean) / sqrt(variance + eps), for each channel; scale and shift are the Scale layer's.

    bottom: (N, C, ...) or (N), one channel; top: the same shape, also in place.
    blobs: running sums of means (C,) and variances (C,), and the factor (1,) that both are to be divided by.

    Mean and variance are the stored ones with use_global_stats (the default in TEST). Otherwise they are those of the
    batch, and the running sums are updated: old values count moving_average_fraction, the variance is made unbiased.
    With update_global_stats and stored statistics, TRAIN takes only the mean from them: the variance is that of the
    batch around the stored mean, and both are added to the running sums.

    With scale_bias, or a filler for it, the result is multiplied by a scale (C,) and a shift (C,) is added, the fourth
    and the fifth blob (with bias_term false no shift). With scale_bias the first two blobs are averages, as in NVIDIA's
    Caffe: the third stays 1, and the batch's values count 1 - moving_average_fraction, those of the first batch 1.
    With add_eps_before_sqrt false stored statistics divide by sqrt(variance) + eps, as in Darknet.
    [Ioffe, Szegedy 2015]
    """

    fork_options = frozenset(
        f"BatchNormParameter.{name}"
        for name in ("scale_bias", "scale_filler", "bias_filler", "filler", "bias_term", "use_weight_bias",
                     "add_eps_before_sqrt")
    )  # fmt: skip

    statistics = True

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Mean, variance and their factor; scale and shift."""
        return 3 + sum(_learns(param.batch_norm_param))

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options, make the three blobs."""
        param = self.param.batch_norm_param
        self.scales, self.shifts = _learns(param)
        self.averages = self.scales and not (param.HasField("filler") or param.HasField("use_weight_bias"))
        self.use_stored: bool = param.use_global_stats if param.HasField("use_global_stats") else not self.training
        self.backward_reads = ("bottoms",) if self.saves_input() else ()
        self.update = not self.use_stored or (self.training and param.update_global_stats)
        self.fraction: float = param.moving_average_fraction
        self.eps: float = param.eps
        if not 0 <= self.fraction <= 1:
            raise self.fail("moving_average_fraction must lie in 0..1", f"{self.fraction:g}")
        if self.eps < 0:
            raise self.fail("eps must not be negative", f"{self.eps:g}")
        self.adds_eps_behind = param.HasField("add_eps_before_sqrt") and not param.add_eps_before_sqrt
        if self.adds_eps_behind and not self.use_stored:
            raise self.fail("add_eps_before_sqrt: false is for stored statistics; set use_global_stats: true")
        if any(spec.lr_mult != 0 for spec in self.param.param[:3]):
            raise self.fail("its parameters are statistics, not learnt; remove its param entries, or set lr_mult: 0")
        self.channels = self._layout(bottom)[1]
        self._make_blobs(param)

    def _make_blobs(self, param: caffe_pb2.BatchNormParameter) -> None:
        for size, filler in ((self.channels, _ZERO), (self.channels, _ZERO), (1, _ONE if self.averages else _ZERO)):
            self.add_parameter((size,), filler)
        given = next((name for name in ("scale_filler", "filler") if param.HasField(name)), "")
        if self.scales:
            self.add_parameter((self.channels,), getattr(param, given) if given else _ONE)
        if self.shifts:
            self.add_parameter((self.channels,), param.bias_filler)

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec:
        """Statistics are not for the solver, whose weight decay would spoil them."""
        given = index < len(self.param.param) or index >= 3
        return super().param_spec(index) if given else caffe_pb2.ParamSpec(lr_mult=0)

    def running_statistics(self) -> Sequence[Blob]:
        """Means, variances and their factor, where they are renewed."""
        return self.blobs[:3] if self.update else ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of channels."""
        super().reshape(bottom, top)
        self.layout = self._layout(bottom)
        if self.layout[1] != self.channels:
            raise self.fail(f"the number of channels cannot change from {self.channels}", f"shape {bottom[0].shape}")
        self.mean, self.variance = (self.own_blob(name, (self.channels,), np.float64) for name in ("mean", "variance"))

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize; update the running sums."""
        self.save_input(bottom, top)
        x = bottom[0].array.reshape(self.layout)
        batch = self.mean.array, self.variance.array
        if self.update or not self.use_stored:
            recording.refuse()
        if self.update:
            batch_norm.moments(x, *batch)
        mean, variance = (self._stored(0), self._stored(1)) if self.use_stored else batch
        if self.use_stored and self.update:
            variance = batch[1] + (batch[0] - mean) ** 2
        self.used_mean, self.scale = mean, 1 / self._deviation(variance)
        self._normalize(x, top)
        if self.update:
            self._update_running_sums(mean, variance)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize by the statistics that `forward` used; the running sums stay."""
        self.save_input(bottom, top)
        self._normalize(bottom[0].array.reshape(self.layout), top)

    def _normalize(self, x: Array, top: Blobs) -> None:
        y = top[0].array.reshape(self.layout)
        if not self.scales:
            batch_norm.normalize(x, self.used_mean, self.scale, y)
            return
        # One pass: what the difference in the shift loses is no more than what the input was rounded by.
        scale, shift = self._factors()
        factor = self.scale * scale
        shift = shift - self.used_mean * factor
        channelwise.affine(x, factor.astype(self.dtype), shift.astype(self.dtype), y)

    def _factors(self) -> tuple[Array, Array]:
        """The learnt scale and shift, where there is a scale."""
        scale = self.blobs[3].array
        return scale, self.blobs[4].array if self.shifts else self.xp.zeros_like(scale)

    def saves_input(self) -> bool:
        """Where the gradient goes through the batch's statistics, or the scale learns."""
        return not self.use_stored or (self.scales and self.wants_param(3))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of scale and shift; of x, through the statistics too where they are the batch's."""
        grad, out = top[0].grad.reshape(self.layout), bottom[0].grad.reshape(self.layout)
        # Where nothing is updated, from the blobs: another layer may have done the forward pass.
        if self.use_stored and not self.update:
            mean, deviation = self.stored_statistics()
            self.used_mean, self.scale = mean, 1 / deviation
        if self.scales:
            self._backward_factors(bottom, grad)
        if not propagate_down[0]:
            return
        if self.use_stored:
            batch_norm.normalize(grad, self.xp.zeros_like(self.scale), self.scale, out)
        else:
            x = self.saved_input(bottom).reshape(self.layout)
            batch_norm.backward(x, self.used_mean, self.scale, grad, out)
        if self.scales:
            scale = self._factors()[0]
            channelwise.affine(out, scale, self.xp.zeros_like(scale), out)

    def _backward_factors(self, bottom: Blobs, grad: Array) -> None:
        """Add the sums of the gradient and of its products with the normalized values, channel by channel."""
        total = self.xp.empty((self.channels,), self.dtype)
        channelwise.channel_sum(grad, total)
        if self.shifts and self.wants_param(4):
            self.blobs[4].grad[...] += total
        if self.wants_param(3):
            product = self.xp.empty_like(total)
            channelwise.channel_dot(self.saved_input(bottom).reshape(self.layout), grad, product)
            self.blobs[3].grad[...] += (product - self.used_mean * total) * self.scale

    def follow(self, factor: Array | float, shift: Array | float) -> tuple[Array, Array]:
        """Factor and shift of each channel, those given followed by what the layer does with stored statistics."""
        mean, deviation = self.stored_statistics()
        factor, shift = factor / deviation, (shift - mean) / deviation
        if not self.scales:
            return factor, shift
        scale, addend = self._factors()
        return factor * scale, shift * scale + addend

    def _layout(self, bottom: Blobs) -> tuple[int, int, int]:
        """Batch, channels, and all other axes as one."""
        shape = bottom[0].shape
        if not shape:
            raise self.fail("needs a batch axis", "a scalar bottom")
        return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], math.prod(shape[2:]))

    def stored_statistics(self) -> tuple[Array, Array]:
        """The running mean and the square root of the running variance and eps, for each channel."""
        return self._stored(0), self._deviation(self._stored(1))

    def _deviation(self, variance: Array) -> Array:
        if self.adds_eps_behind:
            return self.xp.sqrt(variance) + self.eps
        return self.xp.sqrt(variance + self.eps)

    def _stored(self, index: int) -> Array:
        """A running average; 0 while nothing was stored."""
        factor = self.blobs[2].array[0]
        stored = self.blobs[index].array.astype(np.float64)
        if isinstance(factor, np.floating):
            # On the host a number, for which `where` takes longer than the rest.
            return stored * (1 / factor if factor else 0)
        return stored * self.xp.where(factor == 0, 0, 1 / (factor + (factor == 0)))

    def _update_running_sums(self, used_mean: Array, used_variance: Array) -> None:
        mean, variance, factor = (blob.array for blob in self.blobs[:3])
        count = self.layout[0] * self.layout[2]
        unbiased = count / (count - 1) if count > 1 else 1.0
        if self.averages:
            # A batch's values, where none were stored before.
            share = self.xp.where(variance.any() | mean.any(), 1 - self.fraction, 1)
            mean += share * (used_mean - mean)
            variance += share * (unbiased * used_variance - variance)
            return
        factor *= self.fraction
        factor += 1
        mean[...] = self.fraction * mean + used_mean
        variance[...] = self.fraction * variance + unbiased * used_variance
