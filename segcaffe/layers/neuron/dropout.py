"""Dropout: set a random part of the values to zero while training."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.threads import recording


@register
class Dropout(NeuronLayer):
    """TRAIN: y = 0 with probability dropout_ratio, else x / (1 - dropout_ratio). TEST: y = x.

    Which values are dropped follows from a seed drawn at each forward pass; the layer keeps the seed and no mask. With
    sample_weights_test TEST drops like TRAIN (Bayesian SegNet); without scale_train both are 1 - dropout_ratio times
    that (R-FCN).
    """

    backward_reads = ()
    fork_options = frozenset({"DropoutParameter.sample_weights_test", "DropoutParameter.scale_train"})

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ratio, and where what is done."""
        options = self.param.dropout_param
        self.ratio = options.dropout_ratio
        self.drops = self.training or options.sample_weights_test
        self.replayable = not self.drops
        self._seed = 0
        if not 0 <= self.ratio < 1:
            raise self.fail("dropout_ratio must be at least 0 and less than 1.", f"{self.ratio:g}")

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Drop and scale in TRAIN; copy in TEST."""
        if self.drops or not self.param.dropout_param.scale_train:
            recording.refuse()
        if self.drops:
            self._seed = int(device.generator().integers(1 << 63))
        self.recompute(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Drop the same values as the last time."""
        self._pass(bottom[0].array, top[0].array, top[0] is bottom[0])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Drop and scale the gradient as the values were."""
        if propagate_down[0]:
            self._pass(top[0].grad, bottom[0].grad, top[0] is bottom[0])

    def _pass(self, x: Array, y: Array, same: bool) -> None:
        if self.drops:
            elementwise.dropout(x, self._seed, self.ratio, y)
        elif not same:
            copy.copy(x, y)
        else:
            recording.nothing()
        if not self.param.dropout_param.scale_train:
            y *= self.dtype.type(1 - self.ratio)
