"""Mean and variance of channels, normalization by them, and its gradient.

Arrays are (N, C, M): statistics are taken over N and M, one pair for each of the C channels. Statistics are float64.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("mean", "variance"))
def moments(x: Array, mean: Array, variance: Array) -> None:
    """Mean and (biased) variance of each channel.

    Parameters
    ----------
    x:
        (N, C, M).
    mean, variance:
        (C,) float64, overwritten.
    """


@kernel(writes=("out",))
def normalize(x: Array, mean: Array, scale: Array, out: Array) -> None:
    """``out[n, c, m] = (x[n, c, m] - mean[c]) * scale[c]``.

    Parameters
    ----------
    x, out:
        (N, C, M); ``out`` may be ``x`` itself.
    mean, scale:
        (C,) float64.
    """


@kernel(writes=("out",))
def backward(x: Array, mean: Array, scale: Array, grad: Array, out: Array) -> None:
    """Gradient through `normalize` when ``mean`` and ``scale`` are the statistics of ``x``.

    ``out = scale (g - mean(g) - y mean(g y))`` with y the normalized values and means over N and M.

    Parameters
    ----------
    x, grad, out:
        (N, C, M): the values, the gradient of the normalized values, and that of ``x``; ``out`` may be ``grad``.
    mean, scale:
        (C,) float64, as `normalize` was given them.
    """
