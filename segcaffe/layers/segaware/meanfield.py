"""The mean-field layers' common part: iterations of softmax, filtering, mixing of classes, and their gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segcaffe.kernels.meanfield.iterations import Iterations
from segcaffe.layers.base import MOST_ITERATIONS, Blobs, Layer, LayerMemory
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
        self.check_range("num_iterations", num_iterations, 2, MOST_ITERATIONS)
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
            if blob.ndim != 4 or blob.shape[1] < 1 or (blob.shape[0], *blob.shape[2:]) != (shape[0], *shape[2:]):
                raise self.fail(
                    f"bottom {i} must have the batch size, height and width of the unary scores, and a channel",
                    f"shapes {blob.shape} and {shape}",
                )
        top[0].reshape(*shape)
        self._iterations = Iterations(self.num_iterations, self.num_filters)

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

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Run the iterations."""
        self.prepare(bottom)
        self._iterations.forward(bottom[0].array, bottom[1].array, self, self.matrices(), top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Go back through the iterations; all use the same parameters and filters, so their gradients add."""
        score_grads = [bottom[i].grad if propagate_down[i] else None for i in range(2)]
        self._iterations.backward(top[0].grad, self, self.matrices(), score_grads, self.matrix_grads())

    def matrices(self) -> list[Array]:
        """Each W_i, and compat."""
        return [blob.array[0, 0] for blob in self.blobs]

    def matrix_grads(self) -> list[Array | None]:
        """Their gradients, None where one is not wanted."""
        return [blob.grad[0, 0] if self.wants_param(i) else None for i, blob in enumerate(self.blobs)]
