"""BN: normalized channels with a factor and an addend for each, as SegNet's Caffe has it, and as PSPNet's has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.kernels import batch_norm, channelwise
from segcaffe.layers.base import Blobs, LayerMemory, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording

_SEGNET = ("scale_filler", "shift_filler", "bn_mode")
_PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine", "icnet")
_SEGNET_EPS = 1e-9
_Mode = caffe_pb2.BNParameter


def _keeps_averages(param: caffe_pb2.LayerParameter) -> bool:
    """Whether the layer is PSPNet's: by its options, else by how many blobs or param entries it has."""
    options = param.bn_param
    if any(map(options.HasField, _PSPNET)):
        return True
    count = len(param.blobs) or len(param.param)
    return not any(map(options.HasField, _SEGNET)) and count not in (1, 2)


@register
class BN(SavedInput, NeuronLayer):
    """y = slope (x - mean) / sqrt(variance + eps) + bias, for each channel.

    bottom: (N, C, ...); top: the same shape, also in place.

    SegNet's (also ENet's, ERFNet's), blobs: scale and shift, both (1, C, 1, 1). bn_mode LEARN takes mean and variance
    from the batch, in both phases, and eps is 1e-9; two more tops (1, C, 1, 1) have the batch's mean and variance,
    and no gradient. INFERENCE is y = scale x + shift: statistics are folded into the blobs before.

    PSPNet's, blobs: slope, bias, mean, variance, each (1, C, 1, 1). TRAIN takes mean and variance from the batch, and
    the stored ones become momentum times themselves plus (1 - momentum) times the batch's. TEST takes the stored ones,
    and so does ``frozen`` in both phases, where nothing is learnt.

    Which one it is, its options tell, and where there are none the number of its blobs or param entries: 1 or 2 are
    SegNet's.   [Ioffe, Szegedy 2015].
    """

    top_count = (1, 3)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Scale and shift; or slope, bias, mean and variance."""
        return 4 if _keeps_averages(param) else 2

    @classmethod
    def reads_batch(cls, param: caffe_pb2.LayerParameter, phase: int) -> bool:
        """Whether a layer with these options normalizes by the batch's statistics in that phase."""
        options = param.bn_param
        if _keeps_averages(param):
            return phase == caffe_pb2.TRAIN and not options.frozen
        return options.bn_mode == _Mode.LEARN

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options, make the blobs."""
        options = self.param.bn_param
        self.keeps_averages = _keeps_averages(self.param)
        self._check(len(top))
        self.frozen: bool = self.keeps_averages and options.frozen
        self.of_batch = self.reads_batch(self.param, self.phase)
        self.folded = not (self.keeps_averages or self.of_batch)
        self.update = self.keeps_averages and self.of_batch
        self.eps: float = options.eps if self.keeps_averages else _SEGNET_EPS
        self.channels = self._layout(bottom)[1]
        names = ("slope_filler", "bias_filler") if self.keeps_averages else ("scale_filler", "shift_filler")
        fillers = [getattr(options, name) for name in names]
        if self.keeps_averages:
            fillers += [caffe_pb2.FillerParameter(value=value) for value in (0, int(self.frozen))]
        for filler in fillers:
            self.add_parameter((1, self.channels, 1, 1), filler)

    def _check(self, tops: int) -> None:
        options = self.param.bn_param
        both = [name for name in (*_SEGNET, *_PSPNET) if options.HasField(name)]
        if self.keeps_averages and any(name in _SEGNET for name in both):
            raise self.fail(
                f"{', '.join(_SEGNET)} are of SegNet's BN, {', '.join(_PSPNET)} of PSPNet's; one layer takes either",
                ", ".join(both),
            )
        if tops > 1 and (self.keeps_averages or options.bn_mode == _Mode.INFERENCE):
            raise self.fail("more tops, the batch's mean and variance, are for bn_mode: LEARN", f"{tops} tops")
        if not 0 <= options.momentum <= 1:
            raise self.fail("momentum must lie in 0..1", f"{options.momentum:g}")
        if options.eps < 0:
            raise self.fail("eps must not be negative", f"{options.eps:g}")

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec:
        """Statistics are not for the solver, and nothing is where the layer is frozen."""
        spec = caffe_pb2.ParamSpec()
        spec.CopyFrom(super().param_spec(index))
        if index >= 2 or self.frozen:
            spec.lr_mult = spec.decay_mult = 0
        return spec

    def running_statistics(self) -> Sequence[Blob]:
        """PSPNet's mean and variance, where they are renewed."""
        return self.blobs[2:4] if self.update else ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of channels."""
        super().reshape(bottom, top)
        self.layout = self._layout(bottom)
        if self.layout[1] != self.channels:
            raise self.fail(f"the number of channels cannot change from {self.channels}", f"shape {bottom[0].shape}")
        for blob in top[1:]:
            blob.reshape(1, self.channels, 1, 1)
        self.mean, self.variance = (self.own_blob(name, (self.channels,), np.float64) for name in ("mean", "variance"))

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize, multiply, add; update the running averages."""
        if self.of_batch or self.update or len(top) > 1:
            recording.refuse()
        if self.of_batch:
            mean, variance = self.mean.array, self.variance.array
            batch_norm.moments(bottom[0].array.reshape(self.layout), mean, variance)
        self.recompute(bottom, top)
        if self.update:
            self._update_averages()

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the tops by the statistics at hand."""
        self.save_input(bottom, top)
        for blob, values in zip(top[1:], (self.mean.array, self.variance.array), strict=False):
            blob.array.reshape(-1)[...] = values
        # One pass: what the difference in the shift loses is no more than what the input was rounded by.
        factor, shift = (row.astype(self.dtype) for row in self.follow(1.0, 0.0))
        channelwise.affine(bottom[0].array.reshape(self.layout), factor, shift, top[0].array.reshape(self.layout))

    def follow(self, factor: Array | float, shift: Array | float) -> tuple[Array, Array]:
        """Factor and shift of each channel, float64: those given, followed by what the layer does."""
        mean, scale = self._statistics()
        factor_here = scale * self._row(0)
        return factor * factor_here, (shift - mean) * factor_here + self._row(1)

    def saves_input(self) -> bool:
        """Where the gradient goes through the batch's statistics, or the slope learns."""
        return self.of_batch or (not self.frozen and self.wants_param(0))

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Backward reads the bottom, unless it only multiplies by a constant."""
        return replace(super().memory(bottom, top, backward), reads_bottoms=self.saves_input(), reads_tops=False)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of slope and bias; of x, through the statistics too where they are the batch's."""
        grad = top[0].grad.reshape(self.layout)
        mean, scale = self._statistics()
        if not self.frozen:
            self._backward_factors(bottom, grad, mean, scale)
        if not propagate_down[0]:
            return
        out, slope = bottom[0].grad.reshape(self.layout), self._row(0)
        if self.of_batch:
            batch_norm.backward(self.saved_input(bottom).reshape(self.layout), mean, scale, grad, out)
            grad = out
        else:
            slope = (slope * scale).astype(self.dtype)
        channelwise.affine(grad, slope, self.xp.zeros_like(slope), out)

    def _backward_factors(self, bottom: Blobs, grad: Array, mean: Array, scale: Array) -> None:
        """Add the sums of the gradient and of its products with the normalized values, channel by channel."""
        total = self.xp.empty((self.channels,), self.dtype)
        channelwise.channel_sum(grad, total)
        if self.wants_param(1):
            self.blobs[1].grad.reshape(-1)[...] += total
        if self.wants_param(0):
            product = self.xp.empty_like(total)
            channelwise.channel_dot(self.saved_input(bottom).reshape(self.layout), grad, product)
            self.blobs[0].grad.reshape(-1)[...] += (product - mean * total) * scale

    def _statistics(self) -> tuple[Array, Array]:
        """What is subtracted and then multiplied by, before slope and bias; float64."""
        if self.folded:
            return self.xp.zeros(self.channels), self.xp.ones(self.channels)
        if self.of_batch:
            mean, variance = self.mean.array, self.variance.array
        else:
            mean, variance = (self._row(index).astype(np.float64) for index in (2, 3))
        return mean, 1 / self.xp.sqrt(variance + self.eps)

    def _update_averages(self) -> None:
        kept: float = self.param.bn_param.momentum
        for index, values in ((2, self.mean.array), (3, self.variance.array)):
            row = self._row(index)
            row[...] = kept * row + (1 - kept) * values

    def _row(self, index: int) -> Array:
        """A parameter as (C,)."""
        return self.blobs[index].array.reshape(-1)

    def _layout(self, bottom: Blobs) -> tuple[int, int, int]:
        """Batch, channels, and all other axes as one."""
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {shape}")
        return shape[0], shape[1], math.prod(shape[2:])
