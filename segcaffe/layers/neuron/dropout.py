"""Dropout: set a random part of the values to zero while training."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe import device
from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register


@register
class Dropout(NeuronLayer):
    """TRAIN: y = 0 with probability dropout_ratio, else x / (1 - dropout_ratio). TEST: y = x.

    Which values are dropped follows from a seed drawn at each forward pass; the layer keeps the seed and no mask.
    """

    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ratio."""
        self.ratio = self.param.dropout_param.dropout_ratio
        self.replayable = not self.training
        self._seed = 0
        if not 0 <= self.ratio < 1:
            raise self.fail("dropout_ratio must be at least 0 and less than 1.", f"{self.ratio:g}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Drop and scale in TRAIN; copy in TEST."""
        if self.training:
            self._seed = int(device.generator().integers(1 << 63))
        self.recompute(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Drop the same values as the last time."""
        if self.training:
            elementwise.dropout(bottom[0].array, self._seed, self.ratio, top[0].array)
        elif top[0] is not bottom[0]:
            copy.copy(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Drop and scale the gradient as the values were."""
        if not propagate_down[0]:
            return
        if self.training:
            elementwise.dropout(top[0].grad, self._seed, self.ratio, bottom[0].grad)
        elif top[0] is not bottom[0]:
            copy.copy(top[0].grad, bottom[0].grad)
