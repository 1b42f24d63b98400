"""DistLoss on the GPU: sums of a fixed number of parts, then of the parts."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import BLOCK, launch, launch_blocks
from segcaffe.kernels.im2parity.gpu import NO_LABEL

PARTS = 512
"""Most parts into which a sum over all elements is divided."""


def forward(dist: Array, parity: Array, loss: Array, alpha: float, beta: float, ignore_label: int | None) -> None:
    ignored = NO_LABEL if ignore_label is None else ignore_label
    if dist.size == 0:
        loss[...] = 0
        return
    parts = parts_of(dist.size)
    partial = xp().empty(parts, "float64")
    launch_blocks("dist_loss", "partial_sums", parts, dist, parity, partial, alpha, beta, ignored, dist.size)
    launch_blocks("dist_loss", "mean", 1, partial, parts, loss, dist.size)


def backward(
    dist: Array, parity: Array, loss_grad: Array, dist_grad: Array, alpha: float, beta: float, ignore_label: int | None
) -> None:
    ignored = NO_LABEL if ignore_label is None else ignore_label
    arrays = (dist, parity, loss_grad, dist_grad)
    launch("dist_loss", "backward", dist.size, *arrays, alpha, beta, ignored, dist.size)


def parts_of(size: int) -> int:
    """Into how many parts a sum over ``size`` elements is divided, whatever the device."""
    return max(1, min(PARTS, -(-size // (4 * BLOCK))))
