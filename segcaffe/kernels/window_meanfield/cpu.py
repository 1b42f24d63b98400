"""Mean-field inference with windows on the CPU: by pairs of pixels where that is possible, else tap by tap.

The weight of a neighbour is exp(-scale · distance) divided by its sum over the window. Before the division it is the
same seen from either pixel, and that half is all that `pairs` computes and keeps; the filter's adjoint is the filter
itself with the division first. The gradient of the distances of all iterations is one pass over pairs of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels.window_meanfield import Arrays, Inference, taps
from segcaffe.kernels.window_meanfield.pairs import Pairs, is_possible

Array = np.ndarray[Any, Any]


def forward(given: Arrays, out: Array, inference: Inference) -> None:
    """Infer, by pairs unless weights are too small to be summed without scaling each window's; see the contract."""
    pairs = inference.saved
    if not isinstance(pairs, Pairs):
        possible = out.size and is_possible(out.shape[3], inference.filters, out.dtype)
        channels = [guide.shape[1] for guide in given.guides]
        pairs = Pairs(out.shape, channels, inference.filters, inference.iterations, out.dtype) if possible else None
    if pairs is not None and pairs.forward(given.unary, given.q, given.guides, _products(given.matrices), out):
        # Only one of both holds memory.
        inference.saved = pairs
        return
    del pairs
    taps.forward(given, out, inference)


def backward(given: Arrays, out_grad: Array, grads: Arrays, inference: Inference) -> None:
    """Go back by the algorithm of `forward`; see the contract."""
    if inference.saved is None:
        forward(given, np.empty_like(out_grad), inference)
    if not isinstance(inference.saved, Pairs):
        taps.backward(given, out_grad, grads, inference)
        return
    unary, q = (np.empty_like(out_grad) if grad is None else grad for grad in grads[:2])
    found = inference.saved.backward(out_grad, _products(given.matrices), unary, q, grads.guides)
    *totals, compat_grad = grads.matrices
    for matrix, total, grad in zip(given.matrices, totals, found, strict=False):
        if total is not None:
            total += given.matrices[-1].T @ grad
        if compat_grad is not None:
            compat_grad += grad @ matrix.T


def _products(matrices: Sequence[Array]) -> Array:
    """What is subtracted for each filter's average: the product of compat and its matrix."""
    return np.stack([matrices[-1] @ matrix for matrix in matrices[:-1]])
