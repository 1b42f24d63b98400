"""The iterations of mean-field inference and their gradient, composed of other kernels, for arrays of either device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from segcaffe import device
from segcaffe.kernels import matmul, softmax

Array = Any
Grads = Sequence[Array | None]
"""None where one is not wanted."""


class Filters(Protocol):
    """What averages the probabilities."""

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Fill ``out`` (N, C, H, W) with filter ``index``, or its adjoint, of ``values``."""

    def add_filter_grad(self, index: int, values: Array, out_grad: Array) -> None:
        """Collect the gradient of filter ``index`` itself, from one iteration."""


class Iterations:
    """Per iteration p = softmax(q), q = unary - compat · sum over filters of W_i · filter_i(p).

    The probabilities of each iteration and what the filters make of them are kept for the backward pass. ``matrices``
    are the W_i and compat, each (C, C); all iterations use the same.
    """

    def __init__(self, count: int, num_filters: int) -> None:
        self.count, self.num_filters = count, num_filters
        self._probabilities: Array = None
        self._filtered: Array = None

    def forward(self, unary: Array, q: Array, filters: Filters, matrices: Sequence[Array], out: Array) -> None:
        """Write the last q."""
        if self._probabilities is None:
            empty = device.array_module(out).empty
            self._probabilities = empty((self.count, *out.shape), out.dtype)
            self._filtered = empty((self.count, self.num_filters, *out.shape), out.dtype)
        for p, filtered in zip(self._probabilities, self._filtered, strict=True):
            softmax.forward(_planes(q), _planes(p))
            for i, values in enumerate(filtered):
                filters.filter(i, p, values, False)
            out[...] = unary
            _mix(matrices[-1], _message(matrices, filtered), out, alpha=-1, beta=1)
            q = out

    def backward(
        self, out_grad: Array, filters: Filters, matrices: Sequence[Array], scores: Grads, totals: Grads
    ) -> None:
        """Write the gradients of unary scores and q to ``scores``, and add those of the matrices to ``totals``."""
        q_grad, unary_grad = out_grad.copy(), device.array_module(out_grad).zeros_like(out_grad)
        for p, filtered in zip(self._probabilities[::-1], self._filtered[::-1], strict=True):
            unary_grad += q_grad
            _iteration_back(p, filtered, filters, matrices, q_grad, totals)
        for target, grad in zip(scores, (unary_grad, q_grad), strict=True):
            if target is not None:
                target[...] = grad


def _iteration_back(
    p: Array, filtered: Array, filters: Filters, matrices: Sequence[Array], q_grad: Array, totals: Grads
) -> None:
    """Turn the gradient of an iteration's q into that of the q before, in place."""
    empty_like = device.array_module(p).empty_like
    message_grad = empty_like(p)
    _mix(matrices[-1], q_grad, message_grad, transposed=True, alpha=-1)
    if totals[-1] is not None:
        _add_matrix_grad(totals[-1], q_grad, _message(matrices, filtered), -1)
    for total, values in zip(totals, filtered, strict=False):
        if total is not None:
            _add_matrix_grad(total, message_grad, values, 1)
    filtered_grad, back = empty_like(p), empty_like(p)
    q_grad.fill(0)
    for i in range(len(filtered)):
        _mix(matrices[i], message_grad, filtered_grad, transposed=True)
        filters.add_filter_grad(i, p, filtered_grad)
        filters.filter(i, filtered_grad, back, True)
        q_grad += back
    softmax.backward(_planes(p), _planes(q_grad), _planes(q_grad))


def _message(matrices: Sequence[Array], filtered: Array) -> Array:
    """Sum of W_i times what filter i made."""
    message = device.array_module(filtered).empty_like(filtered[0])
    for i, values in enumerate(filtered):
        _mix(matrices[i], values, message, beta=0 if i == 0 else 1)
    return message


def _planes(values: Array) -> Array:
    """(N, C, H, W) as (N, C, pixels)."""
    return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))


def _add_matrix_grad(total: Array, out_grad: Array, values: Array, alpha: float) -> None:
    for grad, value in zip(_planes(out_grad), _planes(values), strict=True):
        matmul.gemm(grad, value, total, trans_b=True, alpha=alpha, beta=1)


def _mix(
    matrix: Array, values: Array, out: Array, transposed: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """Replace each pixel's vector of classes by alpha · matrix (or its transpose) times it, plus beta times ``out``."""
    for value, target in zip(_planes(values), _planes(out), strict=True):
        matmul.gemm(matrix, value, target, trans_a=transposed, alpha=alpha, beta=beta)
