"""Hinge loss on distances: small within a label, large across labels."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("loss",))
def forward(dist: Array, parity: Array, loss: Array, alpha: float, beta: float, ignore_label: int | None) -> None:
    """Write the mean hinge.

    Parameters
    ----------
    dist, parity:
        Of one shape. The hinge of an entry is max(dist - alpha, 0) where the parity (its fraction cut off) is not 0,
        max(beta - dist, 0) where it is 0, and 0 where it equals ``ignore_label``.
    loss:
        Scalar: the sum of all hinges over the number of entries, the ignored ones included. NaN if a distance is.
    """


@kernel(writes=("dist_grad",))
def backward(
    dist: Array, parity: Array, loss_grad: Array, dist_grad: Array, alpha: float, beta: float, ignore_label: int | None
) -> None:
    """Write ±hinge / count times ``loss_grad`` (scalar): plus where the parity is not 0, minus where it is.

    This is the gradient of half the mean squared hinge, not of `forward`: the published networks were trained so.
    """
