"""LSTMUnit: one step of an LSTM, given the input of its gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class LSTMUnit(Layer):
    """Top c = cont sigmoid(z_f) c + sigmoid(z_i) tanh(z_g), h = sigmoid(z_o) tanh(c).

    bottom: c (1, N, D), z (1, N, 4 D) in the order i, f, o, g, cont (1, N).
    top: c and h after the step, each (1, N, D).
    """

    dialects = "bvlc, deeplab"
    bottom_count = (3, 3)
    top_count = (2, 2)
    gradient_to = (0, 1)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that cell, gates and sequence marks belong together."""
        cell, gates, cont = (blob.shape for blob in bottom)
        if len(cell) != 3 or cell[0] != 1 or gates != (*cell[:2], 4 * cell[2]) or cont != cell[:2]:
            raise self.fail("needs a cell (1, N, D), gates (1, N, 4 D) and cont (1, N)", [cell, gates, cont])
        for blob in top:
            blob.reshape(*cell)

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of cont: 0 or 1."""
        return rng.integers(2, size=bottom[2].shape) if index == 2 else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Make the step."""
        cell, cont = bottom[0].array, bottom[2].array[:, :, None]
        self.i, self.f, self.o, self.g = self._activated(bottom[1].array)
        after = cont * self.f * cell + self.i * self.g
        self.tanh_cell = self.xp.tanh(after)
        top[0].array = after
        self.xp.multiply(self.o, self.tanh_cell, out=top[1].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of the cell before the step and of the gates' input."""
        cont, hidden = bottom[2].array[:, :, None], top[1].grad
        grad = top[0].grad + hidden * self.o * (1 - self.tanh_cell**2)
        if propagate_down[0]:
            bottom[0].grad = cont * self.f * grad
        if propagate_down[1]:
            parts = (
                grad * self.g * self.i * (1 - self.i),
                cont * grad * bottom[0].array * self.f * (1 - self.f),
                hidden * self.tanh_cell * self.o * (1 - self.o),
                grad * self.i * (1 - self.g**2),
            )
            bottom[1].grad = self.xp.concatenate(parts, axis=2)

    def _activated(self, gates: Array) -> tuple[Array, Array, Array, Array]:
        """Sigmoid of the first three gates, tanh of the fourth."""
        size = gates.shape[2] // 4
        # The sigmoid by way of tanh cannot overflow.
        chances = self.xp.tanh(gates[:, :, : 3 * size] * 0.5) * 0.5 + 0.5
        i, f, o = (chances[:, :, k * size : (k + 1) * size] for k in range(3))
        return i, f, o, self.xp.tanh(gates[:, :, 3 * size :])
