"""Max unpooling on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch


def forward(x: Array, places: Array, y: Array, bad: Array) -> None:
    owner = xp().full(y.shape, -1, "int32")
    bad.fill(-1)
    sizes = (x.shape[1], y.shape[1])
    launch("unpool", "owners", x.size, places, owner, bad, *sizes, x.size)
    launch("unpool", "forward", y.size, x, owner, y, *sizes, y.size)


def backward(dy: Array, places: Array, dx: Array) -> None:
    launch("unpool", "backward", dx.size, dy, places, dx, dx.shape[1], dy.shape[1], dx.size)
