"""LSTM: long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import lstm
from segcaffe.layers.base import Blobs
from segcaffe.layers.recurrent.base import RecurrentLayer
from segcaffe.layers.registry import register


@register
class LSTM(RecurrentLayer):
    """For each step: i, f, o = sigmoid(z), g = tanh(z), c = cont f c + i g, h = o tanh(c).

    z = W_xc x + b_c + W_xc_static s + W_hc (cont h), of 4 num_output rows in the order i, f, o, g. The top is h.
    Bottoms and tops are those of `RecurrentLayer`, the exposed states h and c.
    param blobs: W_xc (4 O, D), b_c (4 O), W_xc_static (4 O, S) where there is a static input, W_hc (4 O, O).
    [Hochreiter, Schmidhuber 1997; Donahue et al. 2015]
    """

    options_field = "recurrent_param"
    bottom_count = (2, 5)
    states = 2
    gates = 4

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run all steps."""
        shape = (self.steps + 1, self.streams, self.num_output)
        # Element 0 of either is the state before the first step.
        self.hidden, self.cell = self.buffer("hidden", *shape), self.buffer("cell", *shape)
        self.hidden[0], self.cell[0] = self.initial(bottom)
        self.activations = self.input_part(bottom)
        weight = self.blobs[self.recurrent_index].array
        lstm.forward(bottom[1].array, weight, self.activations, self.cell, self.hidden)
        top[0].array = self.hidden[1:]
        self.finish(top, (self.hidden[-1], self.cell[-1]))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Back through time to the first step."""
        cont, weight = bottom[1].array, self.blobs[self.recurrent_index].array
        grad = self.buffer("gradient", *self.activations.shape)
        lstm.backward(cont, weight, self.activations, self.cell, top[0].grad, grad)
        self.input_gradients(grad, propagate_down, bottom)
        self.hidden_weight_gradient(grad, cont, self.hidden[:-1])
