"""Embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels import embed
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class Embed(Layer):
    """Looks up a learnt row for each index: y[..., :] = weight[x[...], :] + bias.

    bottom: x, indices 0 to input_dim - 1, any shape;  top: y (shape of x, num_output).
    param blobs: weight (input_dim, num_output), bias (num_output) with bias_term.
    """

    gradient_to = ()

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Weight, and bias with bias_term."""
        return 1 + param.embed_param.bias_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read input_dim, num_output, bias_term; make weight and bias."""
        param = self.param.embed_param
        self.num_output: int = param.num_output
        self.input_dim: int = param.input_dim
        self.bias_term: bool = param.bias_term
        for option in ("num_output", "input_dim"):
            if getattr(param, option) < 1:
                raise self.fail(f"{option} must be 1 or more.", getattr(param, option))
        self.add_parameter((self.input_dim, self.num_output), param.weight_filler)
        if self.bias_term:
            self.add_parameter((self.num_output,), param.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top one more axis than the bottom, of num_output."""
        top[0].reshape(*bottom[0].shape, self.num_output)

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Rows of the table."""
        return rng.integers(self.input_dim, size=bottom[0].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the rows, and add the bias. Raises ShapeError for an index outside the table."""
        rows = self._rows(top[0].array)
        self.xp.take(self.blobs[0].array, self._indices(bottom), axis=0, out=rows)
        if self.bias_term:
            rows += self.blobs[1].array

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add each gradient to its row of the table, and all of them to the bias."""
        grad = self._rows(top[0].grad)
        if self.wants_param(0):
            embed.add_rows(grad, self._indices(bottom), self.blobs[0].grad)
        if self.bias_term and self.wants_param(1):
            self.blobs[1].grad += grad.sum(0)

    def _rows(self, array: Any) -> Any:
        return array.reshape(-1, self.num_output)

    def _indices(self, bottom: Blobs) -> Any:
        """The indices as whole numbers."""
        values = bottom[0].array.reshape(-1)
        if values.size and not (values.min() >= 0 and values.max() < self.input_dim):
            rule = f"every index must lie in [0, {self.input_dim}), the rows that input_dim gives the table."
            raise self.fail(rule, f"indices from {float(values.min()):g} to {float(values.max()):g}")
        return values.astype(self.xp.int64)
