"""Mean-field inference with windows on the CPU: by pairs of pixels where that is possible, else tap by tap.

The weight of a neighbour is exp(-scale · distance) divided by its sum over the window. Before the division it is the
same seen from either pixel, and that half is all that `pairs` computes and keeps; the filter's adjoint is the filter
itself with the division first. The gradient of the distances of all iterations is one pass over pairs of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels.window_meanfield import Inference, taps
from segcaffe.kernels.window_meanfield.pairs import Pairs, is_possible

Array = np.ndarray[Any, Any]


def forward(
    scores: tuple[Array, Array], guides: Sequence[Array], matrices: Sequence[Array], out: Array, inference: Inference
) -> None:
    """Infer, by pairs unless weights are too small to be summed without scaling each window's; see the contract."""
    if out.size and is_possible(out.shape[3], inference.filters, out.dtype):
        pairs = inference.saved
        if not isinstance(pairs, Pairs):
            channels = [guide.shape[1] for guide in guides]
            pairs = Pairs(out.shape, channels, inference.filters, inference.iterations, out.dtype)
        if pairs.forward(*scores, guides, _products(matrices), out):
            # Only one of both holds memory.
            inference.saved = pairs
            return
        del pairs
    taps.forward(scores, guides, matrices, out, inference)


def backward(
    scores: tuple[Array, Array],
    guides: Sequence[Array],
    matrices: Sequence[Array],
    out_grad: Array,
    score_grads: tuple[Array | None, Array | None],
    guide_grads: Sequence[Array | None],
    matrix_grads: Sequence[Array | None],
    inference: Inference,
) -> None:
    """Go back by the algorithm of `forward`; see the contract."""
    if inference.saved is None:
        forward(scores, guides, matrices, np.empty_like(out_grad), inference)
    if not isinstance(inference.saved, Pairs):
        taps.backward(scores, guides, matrices, out_grad, score_grads, guide_grads, matrix_grads, inference)
        return
    unary_grad, q_grad = (np.empty_like(out_grad) if grad is None else grad for grad in score_grads)
    found = inference.saved.backward(out_grad, _products(matrices), unary_grad, q_grad, guide_grads)
    *grads, compat_grad = matrix_grads
    for matrix, total, grad in zip(matrices, grads, found, strict=False):
        if total is not None:
            total += matrices[-1].T @ grad
        if compat_grad is not None:
            compat_grad += grad @ matrix.T


def _products(matrices: Sequence[Array]) -> Array:
    """What is subtracted for each filter's average: the product of compat and its matrix."""
    return np.stack([matrices[-1] @ matrix for matrix in matrices[:-1]])
