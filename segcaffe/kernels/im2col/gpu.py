"""Windows as columns on the GPU; also those of masked and of blocked convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from segcaffe.kernels.cuda.compile import launch, launch_blocks

Array = Any
Sizes = tuple[int, ...]
_GATHERED, _LANES = 16, 32
"""As in the source: channels of one thread, and elements of the mask's gradient of one block."""


def forward(x: Array, columns: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    geometry = Geometry.of(x, columns.shape[2:], kernel, stride, pad, dilation)
    geometry.gather(x, None, columns)


def backward(columns: Array, x: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    geometry = Geometry.of(x, columns.shape[2:], kernel, stride, pad, dilation)
    geometry.fold(columns, None, x)


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

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.size)

    def gather(self, x: Array, mask: Array | None, columns: Array, first: int = 0, width: int = 0) -> None:
        """Fill ``columns`` (N, C * taps, width) of x (N, C, *spatial) from position ``first`` on (default: all)."""
        width = width or self.positions
        num, channels = x.shape[:2]
        threads = num * -(-channels // _GATHERED) * self.taps * width
        sizes = (num, channels, self.positions, first, width, *self.numbers())
        launch("im2col", "gather", threads, x, mask, columns, *sizes)

    def fold(self, columns: Array, mask: Array | None, x: Array) -> None:
        """Overwrite x (N, C, *spatial) with the sums of the columns that `gather` copies it to, at all positions."""
        launch("im2col", "fold", x.size, columns, mask, x, *x.shape[:2], *self.numbers())

    def mask_grad(self, columns: Array, x: Array, grad: Array, accumulate: bool) -> None:
        """Set ``grad`` (N, taps * positions), or add to it, the sums over x's channels of column times pixel."""
        launch_blocks(
            "im2col", "mask_grad", -(-grad.size // _LANES), columns, x, grad, *x.shape[:2], accumulate, *self.numbers()
        )

    def numbers(self) -> tuple[int, ...]:
        """The arguments that describe a window to a function of a source."""
        return (*self.size, *self.out, *self.kernel, *self.stride, *self.pad, *self.dilation)
