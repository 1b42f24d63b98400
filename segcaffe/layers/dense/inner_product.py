"""InnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.blob import Blob
from segcaffe.kernels.matmul import finish, gemm
from segcaffe.layers.base import Blobs, recordable
from segcaffe.layers.dense.epilogue import EpilogueLayer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording


@register
class InnerProduct(EpilogueLayer):
    """Every output is a weighted sum of all inputs of its item: y = x W^T + bias.

    bottom: x (axes before ``axis`` count items, those from it on are flattened to K);
    top: y (axes before ``axis``, num_output).
    param blobs: weight (num_output, K), or (K, num_output) with ``transpose``; bias (num_output).
    With ``normalize`` each row of the weight becomes of length 1 at each forward pass, and stays so (OpenVINO's).
    """

    draw_color = "#CC33FF"
    backward_reads = ("bottoms",)
    half_weights = True
    fork_options = frozenset({"InnerProductParameter.normalize"})

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Weight, and bias with bias_term."""
        return 1 + param.inner_product_param.bias_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read num_output, axis, transpose, bias_term; make weight and bias."""
        param = self.param.inner_product_param
        self.axis = bottom[0].canonical_axis(param.axis, self.where)
        self.num_output: int = param.num_output
        self.transpose: bool = param.transpose
        self.bias_term = param.bias_term
        if param.normalize and param.transpose:
            raise self.fail("normalize is for weights (num_output, K), without transpose.", "both")
        if self.num_output < 1:
            raise self.fail("num_output must be 1 or more.", self.num_output)
        self.length = math.prod(bottom[0].shape[self.axis :])
        shape = (self.length, self.num_output) if self.transpose else (self.num_output, self.length)
        self.add_parameter(shape, param.weight_filler)
        if self.bias_term:
            self.add_parameter((self.num_output,), param.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the length of an item; the top has num_output values per item."""
        length = math.prod(bottom[0].shape[self.axis :])
        if length != self.length:
            raise self.fail(
                f"was set up for {self.length} values per item (axes from {self.axis} on).",
                f"{length}, from a bottom of shape {bottom[0].shape}",
            )
        self.items = math.prod(bottom[0].shape[: self.axis])
        top[0].reshape(*bottom[0].shape[: self.axis], self.num_output)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute y; the bias comes last, so that its size does not cost the sum any digits."""
        if self.param.inner_product_param.normalize:
            recording.refuse()
            weight = self.blobs[0].array
            weight /= self.xp.sqrt((weight * weight).sum(1, keepdims=True) + self.dtype.type(1e-6))
        x = bottom[0].array.reshape(self.items, self.length)
        y = top[0].array.reshape(self.items, self.num_output)
        half = self.blobs[0].half()
        gemm(x, self.blobs[0].array if half is None else half, y, trans_b=not self.transpose)
        finish(y, **self.finish())

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of x (overwritten), of weight and bias (added to)."""
        self.epilogue.backward(top[0])
        grad = top[0].grad.reshape(self.items, self.num_output)
        if self.wants_param(0):
            x = bottom[0].array.reshape(self.items, self.length)
            first, second = (x, grad) if self.transpose else (grad, x)
            weight_grad, beta = self.blobs[0].grad_to_add_to()
            gemm(first, second, weight_grad, trans_a=True, beta=beta)
        if self.bias_term and self.wants_param(1):
            self.blobs[1].grad += grad.sum(0)
        if propagate_down[0]:
            grad_x = bottom[0].grad.reshape(self.items, self.length)
            gemm(grad, self.blobs[0].array, grad_x, trans_b=self.transpose)

    def multiply_adds(self, bottom: Blobs, top: Sequence[Blob]) -> int:
        """One for each weight and item."""
        return self.items * self.blobs[0].count
