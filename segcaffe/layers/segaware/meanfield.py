"""The mean-field layers' common part: iterations of softmax, filtering, mixing of classes, and their gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segcaffe.kernels import matmul
from segcaffe.kernels import softmax as softmax_kernel
from segcaffe.layers.base import Blobs, Layer, LayerMemory
from segcaffe.layers.views import planes
from segcaffe.proto import caffe_pb2

Array = Any


class MeanfieldLayer(Layer):
    """Mean-field inference: per iteration p = softmax(q), q = unary - compat · sum over filters of W_i · filter_i(p).

    bottom: unary (N, C, H, W), q of the first iteration (N, C, H, W), and what the filters depend on;  top: the last q,
    no softmax applied. Each W_i and compat is a parameter of shape (1, 1, C, C): W_i start as identity, compat as minus
    identity. The probabilities of each iteration and what the filters make of them are kept for the backward pass.
    """

    num_filters = 2

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """A matrix for each filter, and compat."""
        return cls.num_filters + 1

    def setup_meanfield(self, num_iterations: int, bottom: Blobs) -> None:
        """Check the number of iterations and make the parameters."""
        if num_iterations < 2:
            raise self.fail("num_iterations must be 2 or more", f"num_iterations: {num_iterations}")
        self.num_iterations = num_iterations
        if bottom[0].ndim != 4:
            raise self.fail("the unary scores must have 4 axes (N, C, H, W)", f"shape {bottom[0].shape}")
        self.classes = bottom[0].shape[1]
        for i in range(self.num_filters + 1):
            zero = caffe_pb2.FillerParameter(type="constant")
            matrix = self.add_parameter((1, 1, self.classes, self.classes), zero).data[0, 0]
            matrix.flat[:: self.classes + 1] = -1 if i == self.num_filters else 1

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all bottoms cover the same pixels of the same images; the top is like the unary scores."""
        shape = bottom[0].shape
        if len(shape) != 4 or shape[1] != self.classes or bottom[1].shape != shape:
            raise self.fail(
                f"unary scores and first q must have one shape (N, {self.classes}, H, W)",
                f"shapes {shape} and {bottom[1].shape}",
            )
        for i, blob in enumerate(bottom[2:], 2):
            if blob.ndim != 4 or (blob.shape[0], *blob.shape[2:]) != (shape[0], *shape[2:]):
                raise self.fail(
                    f"bottom {i} must have the batch size, height and width of the unary scores",
                    f"shapes {blob.shape} and {shape}",
                )
        top[0].reshape(*shape)
        # Made by the first forward pass that needs them: windows on the CPU keep what they need elsewhere.
        self._probabilities: Array = None
        self._filtered: Array = None

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Probabilities and what the filters made of them, of each iteration, stay."""
        state = self.num_iterations * (1 + self.num_filters) * bottom[0].nbytes
        return replace(super().memory(bottom, top, backward), state=state)

    def prepare(self, bottom: Blobs) -> None:
        """Compute what the filters need from the bottoms; called once per forward pass."""
        raise NotImplementedError

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Fill ``out`` (N, C, H, W) with filter ``index``, or its adjoint, of ``values``."""
        raise NotImplementedError

    def add_filter_grad(self, index: int, values: Array, out_grad: Array) -> None:
        """Collect the gradient of filter ``index`` itself, from one iteration."""

    def finish_backward(self, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Write the gradients of what the filters depend on, from what `add_filter_grad` collected."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run the iterations."""
        self.prepare(bottom)
        unary, q = bottom[0].array, bottom[1].array
        out = top[0].array
        if self._probabilities is None:
            self._probabilities = self.xp.empty((self.num_iterations, *out.shape), self.dtype)
            self._filtered = self.xp.empty((self.num_iterations, self.num_filters, *out.shape), self.dtype)
        for p, filtered in zip(self._probabilities, self._filtered, strict=True):
            softmax_kernel.forward(planes(q), planes(p))
            for i, values in enumerate(filtered):
                self.filter(i, p, values, False)
            out[...] = unary
            _mix(self._matrix(self.num_filters), self._message(filtered), out, alpha=-1, beta=1)
            q = out

    def _message(self, filtered: Array) -> Array:
        """Sum of W_i times what filter i made."""
        message = self.xp.empty_like(filtered[0])
        for i, values in enumerate(filtered):
            _mix(self._matrix(i), values, message, beta=0 if i == 0 else 1)
        return message

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Go back through the iterations; all use the same parameters and filters, so their gradients add."""
        q_grad, unary_grad = top[0].grad.copy(), self.xp.zeros_like(top[0].grad)
        for p, filtered in zip(self._probabilities[::-1], self._filtered[::-1], strict=True):
            unary_grad += q_grad
            self._backward_iteration(p, filtered, q_grad)
        if propagate_down[0]:
            bottom[0].grad[...] = unary_grad
        if propagate_down[1]:
            bottom[1].grad[...] = q_grad
        self.finish_backward(propagate_down, bottom)

    def _backward_iteration(self, p: Array, filtered: Array, q_grad: Array) -> None:
        """Turn the gradient of an iteration's q into that of the q before, in place."""
        compat, last = self._matrix(self.num_filters), self.num_filters
        message_grad = self.xp.empty_like(p)
        _mix(compat, q_grad, message_grad, transposed=True, alpha=-1)
        if self.wants_param(last):
            self._add_matrix_grad(last, q_grad, self._message(filtered), -1)
        for i, values in enumerate(filtered):
            self._add_matrix_grad(i, message_grad, values, 1)
        filtered_grad, back = self.xp.empty_like(p), self.xp.empty_like(p)
        q_grad.fill(0)
        for i in range(last):
            _mix(self._matrix(i), message_grad, filtered_grad, transposed=True)
            self.add_filter_grad(i, p, filtered_grad)
            self.filter(i, filtered_grad, back, True)
            q_grad += back
        softmax_kernel.backward(planes(p), planes(q_grad), planes(q_grad))

    def _matrix(self, index: int) -> Array:
        return self.blobs[index].array[0, 0]

    def _add_matrix_grad(self, index: int, out_grad: Array, values: Array, alpha: float) -> None:
        if self.wants_param(index):
            total = self.blobs[index].grad[0, 0]
            for grad, value in zip(planes(out_grad), planes(values), strict=True):
                matmul.gemm(grad, value, total, trans_b=True, alpha=alpha, beta=1)


def _mix(
    matrix: Array, values: Array, out: Array, transposed: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """Replace each pixel's vector of classes by alpha · matrix (or its transpose) times it, plus beta times ``out``."""
    for value, target in zip(planes(values), planes(out), strict=True):
        matmul.gemm(matrix, value, target, trans_a=transposed, alpha=alpha, beta=beta)
