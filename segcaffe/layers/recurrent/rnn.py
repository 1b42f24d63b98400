"""RNN: the simple recurrent network."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import matmul
from segcaffe.layers.base import Blobs
from segcaffe.layers.recurrent.base import RecurrentLayer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.proto import caffe_pb2


@register
class RNN(RecurrentLayer):
    """For each step: h = tanh(W_xh x + b_h + W_xh_static s + W_hh (cont h)), o = tanh(W_ho h + b_o); the top is o.

    Bottoms and tops are those of `RecurrentLayer`, the exposed state h.
    param blobs: W_xh (O, D), b_h (O), W_xh_static (O, S) where there is a static input, W_hh (O, O), W_ho (O, O),
    b_o (O).
    """

    bottom_count = (2, 4)
    top_count = (1, 2)
    states = 1
    gates = 1

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Those of the steps, and weight and bias of the output."""
        return super().parameter_count(param, bottoms) + 2

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the weights of the output too."""
        super().setup(bottom, top)
        param = self.param.recurrent_param
        self.add_parameter((self.num_output, self.num_output), param.weight_filler)
        self.add_parameter((self.num_output,), param.bias_filler)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run all steps, then the outputs of all of them at once."""
        (hidden0,) = self.initial(bottom)
        self.hidden = self.input_part(bottom)
        self.before = self.buffer("before", *self.hidden.shape)
        cont, weight = bottom[1].array[:, :, None], self.blobs[self.recurrent_index].array
        state = hidden0
        for t in range(self.steps):
            self.before[t] = state
            state = self.hidden[t]
            state += (self.before[t] * cont[t]) @ weight.T
            self.xp.tanh(state, out=state)
        self._output(top)
        self.finish(top, (self.hidden[-1],))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Back through time to the first step."""
        cont, weight = bottom[1].array, self.blobs[self.recurrent_index].array
        grad = self._output_gradients(top)
        for t in reversed(range(self.steps)):
            grad[t] *= 1 - self.hidden[t] ** 2
            if t > 0:
                grad[t - 1] += cont[t, :, None] * (grad[t] @ weight)
        self.input_gradients(grad, propagate_down, bottom)
        self.hidden_weight_gradient(grad, cont, self.before)

    def _output(self, top: Blobs) -> None:
        weight, bias = (blob.array for blob in self.blobs[self.recurrent_index + 1 :])
        out = rows(top[0].array, 2)
        matmul.gemm(rows(self.hidden, 2), weight, out, trans_b=True)
        out += bias
        self.output = self.xp.tanh(out, out=out).copy()

    def _output_gradients(self, top: Blobs) -> Array:
        """Gradients of the output's weights; returns that of the hidden states (T, N, O)."""
        index = self.recurrent_index + 1
        grad = rows(top[0].grad, 2) * (1 - self.output * self.output)
        if self.wants_param(index):
            matmul.gemm(grad, rows(self.hidden, 2), self.blobs[index].grad, trans_a=True, beta=1.0)
        if self.wants_param(index + 1):
            self.blobs[index + 1].grad[...] += grad.sum(axis=0)
        hidden = self.buffer("hidden gradient", *self.hidden.shape)
        matmul.gemm(grad, self.blobs[index].array, rows(hidden, 2))
        return hidden
