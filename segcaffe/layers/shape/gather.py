"""Gather: chosen slices along an axis; and, of training by several processes, all processes' batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class Gather(Layer):
    """Element i of the top's axis is element indices[i] of the bottom's, with gather_param (Synopsys' Caffe).

    bottom: (before, D, behind), D being axis ``axis``;  top: (before, ``shape``, behind), the shape of the indices;
    ``shape: 0`` stands for one index, whose axis goes.

    Without gather_param (the Caffe of PSPNet) it joins the batches of all processes that train together; there is one
    here, so that each top is its bottom.
    """

    bottom_count = (1, None)
    top_count = (1, None)
    same_count = True
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the indices."""
        options = self.param.gather_param
        self.indices, self.shape = list(options.indices), tuple(options.shape)
        self.chooses: bool = self.param.HasField("gather_param")
        if self.shape == (0,):
            self.shape = ()
        if self.chooses and math.prod(self.shape) != len(self.indices):
            rule = "gather_param.shape must be that of the indices."
            raise self.fail(rule, f"shape {self.shape} for {len(self.indices)} indices")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Put the indices' shape in the place of the axis."""
        for source, target in zip(bottom, top, strict=True):
            if not self.chooses:
                target.reshape_like(source)
                continue
            self.axis = source.canonical_axis(self.param.gather_param.axis, self.where)
            extent = source.shape[self.axis]
            if max(self.indices) >= extent:
                raise self.fail(f"indices must be less than {extent}, the extent of axis {self.axis}.", self.indices)
            target.reshape(*source.shape[: self.axis], *self.shape, *source.shape[self.axis + 1 :])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the slices."""
        for source, target in zip(bottom, top, strict=True):
            if not self.chooses:
                copy.copy(source.array, target.array)
                continue
            view = self._view(source.shape)
            x, y = source.array.reshape(view), target.array.reshape(view[0], len(self.indices), view[2])
            for place, index in enumerate(self.indices):
                copy.copy(x[:, index], y[:, place])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to each slice the gradients of its copies."""
        for source, target, wanted in zip(bottom, top, propagate_down, strict=True):
            if wanted and not self.chooses:
                copy.copy(target.grad, source.grad)
            elif wanted:
                view = self._view(source.shape)
                dx, dy = source.grad.reshape(view), target.grad.reshape(view[0], len(self.indices), view[2])
                dx[...] = 0
                for place, index in enumerate(self.indices):
                    dx[:, index] += dy[:, place]

    def _view(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        return math.prod(shape[: self.axis]), shape[self.axis], math.prod(shape[self.axis + 1 :])
