"""Softmax along the middle axis of (outer, C, inner), and its gradient."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("out",))
def forward(x: Array, out: Array) -> None:
    """``out[o, c, i] = exp(x[o, c, i] - m[o, i]) / sum over c``, with m the largest of the classes.

    Parameters
    ----------
    x, out:
        (outer, C, inner), one float dtype; ``out`` may be ``x`` itself. NaN makes its whole column NaN.
    """


@kernel(writes=("out",))
def backward(prob: Array, grad: Array, out: Array) -> None:
    """``out = prob * (grad - sum over c of prob * grad)``.

    Parameters
    ----------
    prob, grad, out:
        (outer, C, inner): the result of `forward`, its gradient, and the gradient of the input; ``out`` may be
        ``grad`` itself.
    """
