"""Cross entropy of sigmoid(x) with targets in [0, 1], and its gradient."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("totals",))
def forward(x: Array, target: Array, ignore: int, totals: Array) -> None:
    """Sum of ``max(x, 0) - x t + log(1 + exp(-|x|))`` over the targets that are not ignored.

    Parameters
    ----------
    x, target:
        Flat arrays of one float dtype.
    ignore:
        Targets that are this number, rounded towards zero, do not count; `softmax_loss.NO_IGNORE` for none.
    totals:
        (2,) float64: set to the sum, and to how many targets count.
    """


@kernel(writes=("out",))
def backward(x: Array, target: Array, ignore: int, scale: float, out: Array) -> None:
    """``out = scale * (sigmoid(x) - target)``, 0 where the target is ignored; all arrays flat."""
