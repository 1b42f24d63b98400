"""Local response normalisation: each value over a power of the mean square around it."""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@dataclass(frozen=True)
class Response:
    """scale = k + alpha·(mean of x² over the region), y = x·scale^-beta.

    The region of a value is the ``size`` (odd) channels around it if ``across``, else ``size`` x ``size`` pixels of
    its channel; outside the blob x is 0, and the mean still divides by the whole region.
    """

    size: int
    alpha: float
    beta: float
    k: float
    across: bool


@kernel(writes=("scale", "top"))
def forward(bottom: Array, scale: Array, top: Array, response: Response) -> None:
    """Write the scale and the normalised values; all arrays are (N, C, H, W)."""


@kernel(writes=("bottom_grad",))
def backward(bottom: Array, scale: Array, top: Array, top_grad: Array, bottom_grad: Array, response: Response) -> None:
    """Write dx = dy·scale^-beta - 2·alpha·beta·x·(mean of dy·y/scale over the region); all arrays are (N, C, H, W)."""
