"""LSTM and Lstm: long short-term memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import lstm, matmul
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.recurrent.base import RecurrentLayer, beginnings
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.proto import caffe_pb2


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


@register
class Lstm(Layer):
    """The `LSTM` of caffe-lstm: steps and streams on one axis.

    bottoms: x (T N, ...), N being ``batch_size``; optionally clip (T N), 0 where a sequence begins.
    top: (T N, num_output).
    param blobs: W_x (4 O, D), W_h (4 O, O), b (4 O); rows in the order i, f, o, g.

    Without clip each forward begins a sequence; with it a forward goes on from the state that the one before left,
    where its first clip is not 0. Gradients do not pass from one forward to the one before it. With
    ``clipping_threshold`` above 0 the gradient of each gate before its sigmoid or tanh lies within it.
    """

    options_field = "lstm_param"
    bottom_count = (1, 2)
    gradient_to = (0,)
    refuses_gradient = False
    recomputes = False
    replayable = False

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Two weights and a bias."""
        return 3

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options, make the parameters."""
        options = self.param.lstm_param
        self.num_output, self.streams = options.num_output, options.batch_size
        if min(self.num_output, self.streams) < 1 or not bottom[0].ndim:
            received = f"num_output {self.num_output}, batch_size {self.streams}, shape {bottom[0].shape}"
            raise self.fail("num_output and batch_size must be positive, and the bottom have an axis", received)
        self.values = math.prod(bottom[0].shape[1:])
        self.add_parameter((4 * self.num_output, self.values), options.weight_filler)
        self.add_parameter((4 * self.num_output, self.num_output), options.weight_filler)
        self.add_parameter((4 * self.num_output,), options.bias_filler)
        self.reset()

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of clip: sequences, some of which begin on the way."""
        return beginnings(bottom[1].shape, self.steps, rng) if index == 1 else None

    def reset(self) -> None:
        """Forget the state: the next forward starts from zero."""
        self.state: tuple[Array, Array] | None = None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Divide the first axis into steps and streams."""
        shape = bottom[0].shape
        if not shape or not shape[0] or shape[0] % self.streams or math.prod(shape[1:]) != self.values:
            received = f"shape {shape}, batch_size {self.streams}"
            raise self.fail(f"needs x (T batch_size, ...) with {self.values} values in each step", received)
        if len(bottom) > 1 and bottom[1].count != shape[0]:
            raise self.fail(f"clip needs one number for each of the {shape[0]} steps", f"shape {bottom[1].shape}")
        self.steps = shape[0] // self.streams
        top[0].reshape(shape[0], self.num_output)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run all steps."""
        steps, streams, outputs = self.steps, self.streams, self.num_output
        self.cont = self.own_blob("cont", (steps, streams)).array
        if len(bottom) > 1:
            self.cont[...] = bottom[1].array.reshape(steps, streams) != 0
        else:
            self.cont[...] = 1
            self.cont[0] = 0
        shape = (steps + 1, streams, outputs)
        self.hidden, self.cell = self.own_blob("hidden", shape).array, self.own_blob("cell", shape).array
        first = self.state if len(bottom) > 1 else None
        self.hidden[0], self.cell[0] = map(device.to_device, first) if first is not None else (0, 0)
        self.gates = self.own_blob("gates", (steps, streams, 4 * outputs)).array
        matmul.gemm(rows(bottom[0].array, 1), self.blobs[0].array, rows(self.gates, 2), trans_b=True)
        self.gates += self.blobs[2].array
        lstm.forward(self.cont, self.blobs[1].array, self.gates, self.cell, self.hidden)
        top[0].array[...] = rows(self.hidden[1:], 2)
        self.state = self.hidden[-1].copy(), self.cell[-1].copy()

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Back through time to the first step."""
        grad = self.own_blob("gradient", self.gates.shape).array
        from_top = top[0].grad.reshape(self.steps, self.streams, self.num_output)
        if self.param.lstm_param.clipping_threshold > 0:
            self._clipped_gradient(from_top, grad)
        else:
            lstm.backward(self.cont, self.blobs[1].array, self.gates, self.cell, from_top, grad)
        flat = rows(grad, 2)
        before = self.hidden[:-1] * self.cont[:, :, None]
        for i, values in enumerate((rows(bottom[0].array, 1), rows(before, 2))):
            if self.wants_param(i):
                matmul.gemm(flat, values, self.blobs[i].grad, trans_a=True, beta=1.0)
        if self.wants_param(2):
            self.blobs[2].grad[...] += flat.sum(axis=0)
        if propagate_down[0]:
            matmul.gemm(flat, self.blobs[0].array, rows(bottom[0].grad, 1))

    def _clipped_gradient(self, from_top: Array, grad: Array) -> None:
        """The gradient of the gates, of which each step hands on what is left after clipping."""
        xp, outputs, most = self.xp, self.num_output, self.param.lstm_param.clipping_threshold
        from_later, of_cell = xp.zeros_like(from_top[0]), xp.zeros_like(from_top[0])
        for t in reversed(range(self.steps)):
            i, f, o, g = (self.gates[t, :, k * outputs : (k + 1) * outputs] for k in range(4))
            cont, before, bent = self.cont[t][:, None], self.cell[t], xp.tanh(self.cell[t + 1])
            of_hidden = from_top[t] + from_later
            of_cell = of_cell + of_hidden * o * (1 - bent * bent)
            parts = of_cell * g * i * (1 - i), of_cell * before * cont * f * (1 - f), of_hidden * bent * o * (1 - o)
            grad[t] = xp.concatenate([*parts, of_cell * i * (1 - g * g)], axis=1).clip(-most, most)
            from_later = grad[t] @ self.blobs[1].array * cont
            of_cell = of_cell * f * cont

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Products of inputs and states with the weights."""
        return self.steps * self.streams * (self.blobs[0].count + self.blobs[1].count)
