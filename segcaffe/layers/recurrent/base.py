"""What RNN and LSTM share: bottoms and tops, the products with the inputs, the state between forwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.errors import GraphError
from segcaffe.kernels import matmul
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.views import rows
from segcaffe.proto import caffe_pb2


class RecurrentLayer(Layer):
    """A recurrent network over T steps of N independent streams.

    bottom: x (T, N, ...), cont (T, N) with 0 where a sequence begins and 1 where it goes on, optionally a static input
    (N, ...) that each step sees; with expose_hidden then the state before the first step, each (1, N, num_output).
    top: (T, N, num_output); with expose_hidden then the state after the last step, each (1, N, num_output).

    Without expose_hidden each forward goes on from the state that the one before left (zero at first). As in Caffe
    gradients do not pass from one forward to the one before it, nor through the exposed states.
    """

    top_count = (1, 3)
    gradient_to = (0, 2, 3, 4)
    states: ClassVar[int]
    """How many states are carried from step to step."""
    gates: ClassVar[int]
    """How many rows of weights each output has."""
    recomputes = False
    options_field = "recurrent_param"

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Weight and bias of x, weight of the static input where there is one, weight of the state."""
        return 3 + cls._has_static(param, bottoms)

    @classmethod
    def _has_static(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> bool:
        return bottoms > 2 + (cls.states if param.recurrent_param.expose_hidden else 0)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options, make the weights of the inputs and whatever the network has besides."""
        param = self.param.recurrent_param
        self.num_output: int = param.num_output
        if self.num_output < 1:
            raise self.fail("num_output must be positive", self.num_output)
        self.expose: bool = param.expose_hidden
        exposed = self.states if self.expose else 0
        self._check_exposed(len(bottom), len(top), exposed)
        self.has_static = self._has_static(self.param, len(bottom))
        self.state: list[Array] = []
        outputs = self.gates * self.num_output
        self.add_parameter((outputs, math.prod(bottom[0].shape[2:])), param.weight_filler)
        self.add_parameter((outputs,), param.bias_filler)
        if self.has_static:
            self.add_parameter((outputs, math.prod(bottom[2].shape[1:])), param.weight_filler)
        self.add_parameter((outputs, self.num_output), param.weight_filler)
        self.recurrent_index = 2 + self.has_static

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check shapes; a new number of streams starts from state zero."""
        x, cont = bottom[0], bottom[1]
        if x.ndim < 2 or not x.shape[0] or cont.shape != x.shape[:2]:
            raise self.fail("needs x (T, N, ...) and cont (T, N), T at least 1", f"shapes {x.shape} and {cont.shape}")
        self.steps, self.streams = x.shape[:2]
        self._check_input(bottom[0].shape[2:], 0)
        if self.has_static:
            if bottom[2].shape[:1] != (self.streams,):
                raise self.fail(f"the static input needs shape ({self.streams}, ...)", f"shape {bottom[2].shape}")
            self._check_input(bottom[2].shape[1:], 2)
        one_step = (1, self.streams, self.num_output)
        for blob in bottom[2 + self.has_static :]:
            if blob.shape != one_step:
                raise self.fail(f"an exposed state needs shape {one_step}", f"shape {blob.shape}")
        top[0].reshape(self.steps, self.streams, self.num_output)
        for blob in top[1:]:
            blob.reshape(*one_step)
        if any(state.shape != one_step[1:] for state in self.state):
            self.reset()

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of cont: sequences, some of which begin on the way."""
        return beginnings(bottom[1].shape, bottom[1].shape[0], rng) if index == 1 else None

    def reset(self) -> None:
        """Forget the state: the next forward starts from zero."""
        self.state = []

    def buffer(self, name: str, *shape: int) -> Array:
        """Memory of the layer's own, kept from call to call: fresh pages cost as much as the work on them."""
        return self.own_blob(name, shape).array

    def initial(self, bottom: Blobs) -> list[Array]:
        """The states (N, num_output) before the first step."""
        if self.expose:
            return [blob.array[0] for blob in bottom[2 + self.has_static :]]
        if not self.state:
            self.state = [self.xp.zeros((self.streams, self.num_output), self.dtype) for _ in range(self.states)]
        return [device.to_device(state) for state in self.state]

    def finish(self, top: Blobs, last: Sequence[Array]) -> None:
        """Hand on the states after the last step."""
        if self.expose:
            for blob, state in zip(top[1:], last, strict=True):
                blob.array[0] = state
        else:
            self.state = [state.copy() for state in last]

    def input_part(self, bottom: Blobs) -> Array:
        """What the inputs contribute to each step: (T, N, gates * num_output)."""
        weight, bias = self.blobs[0].array, self.blobs[1].array
        part = self.buffer("input part", self.steps * self.streams, weight.shape[0])
        matmul.gemm(rows(bottom[0].array, 2), weight, part, trans_b=True)
        part += bias
        steps = part.reshape(self.steps, self.streams, weight.shape[0])
        if self.has_static:
            static = self.buffer("static part", *steps.shape[1:])
            matmul.gemm(rows(bottom[2].array, 1), self.blobs[2].array, static, trans_b=True)
            steps += static
        return steps

    def input_gradients(self, grad: Array, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """From the gradient of `input_part` to those of the inputs and their weights; zero for exposed states."""
        flat = rows(grad, 2)
        self._product_gradients(flat, bottom[0], 2, 0, propagate_down[0])
        if self.wants_param(1):
            self.blobs[1].grad[...] += flat.sum(axis=0)
        if self.has_static:
            self._product_gradients(grad.sum(axis=0), bottom[2], 1, 2, propagate_down[2])
        for i in range(2 + self.has_static, len(bottom)):
            if propagate_down[i]:
                bottom[i].grad = 0

    def hidden_weight_gradient(self, grad: Array, cont: Array, before: Array) -> None:
        """Add the gradient of the weights from state to gates; ``before`` is the hidden state before each step."""
        if self.wants_param(self.recurrent_index):
            kept = self.buffer("kept", *before.shape)
            self.xp.multiply(before, cont[:, :, None], out=kept)
            matmul.gemm(rows(grad, 2), rows(kept, 2), self.blobs[self.recurrent_index].grad, trans_a=True, beta=1.0)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Products of inputs and states with the weights."""
        weights = sum(blob.count for i, blob in enumerate(self.blobs) if blob.ndim == 2 and not self._is_static(i))
        static = self.blobs[2].count if self.has_static else 0
        return self.streams * (self.steps * weights + static)

    def _is_static(self, index: int) -> bool:
        return self.has_static and index == 2

    def _product_gradients(self, grad: Array, source: Blob, axis: int, index: int, down: bool) -> None:
        values = rows(source.array, axis)
        if self.wants_param(index):
            matmul.gemm(grad, values, self.blobs[index].grad, trans_a=True, beta=1.0)
        if down:
            matmul.gemm(grad, self.blobs[index].array, rows(source.grad, axis))

    def _check_input(self, shape: tuple[int, ...], index: int) -> None:
        wanted = self.blobs[index].shape[1]
        if math.prod(shape) != wanted:
            raise self.fail(
                f"each step of bottom {index} must have {wanted} values, as at setup", f"{math.prod(shape)}"
            )

    def _check_exposed(self, bottoms: int, tops: int, exposed: int) -> None:
        if not 2 + exposed <= bottoms <= 3 + exposed or tops != 1 + exposed:
            raise GraphError(
                f"{self.where}: {'with' if self.expose else 'without'} expose_hidden takes {2 + exposed} or "
                f"{3 + exposed} bottoms and {1 + exposed} tops. Received: {bottoms} and {tops}."
            )


def beginnings(shape: Sequence[int], steps: int, rng: np.random.Generator) -> Any:
    """0 at the first of the steps, and at one in four of the others; 1 elsewhere."""
    marks = rng.integers(4, size=(steps, math.prod(shape) // max(1, steps))) > 0
    marks[:1] = 0
    return marks.reshape(shape)
