"""Windows as columns on the GPU; also those of masked and of blocked convolutions."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from segcaffe.device.compile import launch

Array = Any
Sizes = tuple[int, ...]


def forward(x: Array, columns: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    geometry = Geometry.of(x, columns.shape[2:], kernel, stride, pad, dilation)
    for image, target in zip(x, columns, strict=True):
        geometry.gather(image, None, target)


def backward(columns: Array, x: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    geometry = Geometry.of(x, columns.shape[2:], kernel, stride, pad, dilation)
    for source, image in zip(columns, x, strict=True):
        geometry.fold(source, None, image)


@dataclass(frozen=True)
class Geometry:
    """A window over an image of one size, three axes each: the arguments that all functions of the source end with."""

    size: Sizes
    out: Sizes
    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    @classmethod
    def of(cls, x: Array, out: Sizes, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> Geometry:
        """For images x (N, C, *spatial) of up to three axes; those missing in front are of extent 1."""
        missing = 3 - len(kernel)
        size, out, kernel, stride, dilation = (
            (1,) * missing + tuple(sizes) for sizes in (x.shape[2:], out, kernel, stride, dilation)
        )
        return cls(size, out, kernel, stride, (0,) * missing + tuple(pad), dilation)

    @property
    def taps(self) -> int:
        """Taps of the window."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Positions of the window."""
        return math.prod(self.out)

    def gather(self, x: Array, mask: Array | None, columns: Array, first: int = 0, width: int = 0) -> None:
        """Fill ``columns`` (C * taps, width) of x (C, *spatial) from position ``first`` on (default: all)."""
        width, channels = width or self.positions, len(x)
        threads = -(-channels // 4) * self.taps * width
        launch("im2col", "gather", threads, x, mask, columns, channels, self.positions, first, width, *self._numbers())

    def fold(self, columns: Array, mask: Array | None, x: Array) -> None:
        """Overwrite x (C, *spatial) with the sums of the columns (C * taps, positions) that `gather` copies it to."""
        launch("im2col", "fold", x.size, columns, mask, x, len(x), *self._numbers())

    def mask_grad(self, columns: Array, x: Array, grad: Array, accumulate: bool) -> None:
        """Set ``grad`` (taps, positions), or add to it, the sums over x's channels of column times pixel."""
        launch("im2col", "mask_grad", grad.size, columns, x, grad, len(x), accumulate, *self._numbers())

    def _numbers(self) -> tuple[int, ...]:
        return (*self.size, *self.out, *self.kernel, *self.stride, *self.pad, *self.dilation)
