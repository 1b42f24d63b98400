"""What is asked of a convolution, from shapes alone, and the passes that answer it.

Forward, backward_data and backward_weight are built of one operation, a *pass*: positions q of a grid, each the
product of weights with the source at ``q * stride + tap - low``. A forward convolution is one pass; the gradient of
the input of a convolution with stride s is s passes per axis, one for each phase of the image's pixels, and these have
no stride.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from segcaffe.window import Window

Axes = tuple[int, int, int]
Sizes = tuple[int, ...]


class Grid(NamedTuple):
    """One pass over (depth, height, width): position q reads the source at ``q * stride + tap - low``.

    Position q belongs to ``base + step * q`` of the target. ``taps`` holds for each axis the positions (0 or more) of
    the taps and ``places`` where each stands in a kernel of size ``kernel``.
    """

    extent: Axes
    base: Axes
    step: Axes
    stride: Axes
    low: Axes
    taps: tuple[tuple[int, ...], ...]
    places: tuple[tuple[int, ...], ...]
    kernel: Axes


class Task(NamedTuple):
    """What a pass works on: per group ``channels`` of the source and ``rows`` (channels of the target)."""

    images: int
    groups: int
    channels: int
    rows: int
    source: Axes
    target: Axes
    itemsize: int
    gradient: bool


class Problem(NamedTuple):
    """Shapes, as (N, C, *spatial), and window of one of a convolution's three functions.

    ``source`` is x and ``target`` the output or its gradient; for the gradient of x (``transposed``) it is the other
    way round. ``gradient`` says that the weights' gradient is wanted. ``lanes`` are the channels of a block of each,
    where its channels lie in blocks (forward only), else 1: (N, C / lanes, *spatial, lanes).
    """

    source: Sizes
    target: Sizes
    weight: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes
    group: int
    itemsize: int
    transposed: bool = False
    gradient: bool = False
    lanes: tuple[int, int] = (1, 1)

    @classmethod
    def forward(cls, x: Sizes, weight: Sizes, out: Sizes, window: Window, group: int, itemsize: int) -> Problem:
        """The output from x; an array with an axis more than the weight has its channels in blocks."""
        (source, given), (target, made) = (_without_blocks(shape, len(weight)) for shape in (x, out))
        steps = window.stride, window.pad, window.dilation
        return cls(source, target, weight, *steps, group, itemsize, lanes=(given, made))

    def for_data(self) -> Problem:
        """The gradient of x of a forward convolution."""
        return self._replace(source=self.target, target=self.source, transposed=True)

    def for_weight(self) -> Problem:
        """The weights' gradient of a forward convolution."""
        return self._replace(gradient=True)

    def turned(self) -> Problem | None:
        """The forward convolution, by kernels turned around, that is this gradient of x; None where there is none."""
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        pad = tuple(r - p for r, p in zip(reach, self.pad, strict=True))
        if not self.transposed or self.gradient or set(self.stride) != {1} or min(pad) < 0:
            return None
        weight = (self.target[1], self.source[1] // self.group, *self.kernel)
        return self._replace(weight=weight, pad=pad, transposed=False)

    @property
    def kernel(self) -> Sizes:
        """Taps on each axis."""
        return self.weight[2:]

    @property
    def taps(self) -> int:
        """Positions of the window."""
        return math.prod(self.kernel)

    @property
    def outputs(self) -> int:
        """Positions of all images' output."""
        shape = self.source if self.transposed else self.target
        return shape[0] * math.prod(shape[2:])

    @property
    def is_pixelwise(self) -> bool:
        """Whether the image's columns are the image itself."""
        is_same = self.source[2:] == self.target[2:]
        return is_same and self.taps == 1 and set(self.stride) == {1} and set(self.pad) == {0}

    def passes(self) -> tuple[Task, tuple[Grid, ...]]:
        """Its task over three axes, and the passes; a convolution of single pixels sees the image as one row."""
        source, target = _axes(self.source[2:], 1), _axes(self.target[2:], 1)
        given, missing = (self.kernel, self.stride, self.pad, self.dilation), (1, 1, 0, 1)
        kernel, stride, pad, dilation = (_axes(sizes, one) for sizes, one in zip(given, missing, strict=True))
        if self.is_pixelwise:
            source = target = (1, 1, math.prod(source))
        task = Task(
            images=self.source[0],
            groups=self.group,
            channels=self.source[1] // self.group,
            rows=self.target[1] // self.group,
            source=source,
            target=target,
            itemsize=self.itemsize,
            gradient=self.gradient,
        )
        if self.transposed:
            return task, backward_grids(target, kernel, stride, pad, dilation)
        return task, (forward_grid(target, kernel, stride, pad, dilation),)


def _without_blocks(shape: Sizes, axes: int) -> tuple[Sizes, int]:
    """An array's shape as (N, C, *spatial), and how many channels a block has; where there are no blocks, 1."""
    if len(shape) == axes:
        return shape, 1
    images, blocks, *spatial, lanes = shape
    return (images, blocks * lanes, *spatial), lanes


def _axes(sizes: Sizes, missing: int) -> Axes:
    """The sizes of one to three axes as three, with leading axes of size ``missing``."""
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"A convolution has 1 to 3 spatial axes. Received: {len(sizes)}.")
    d, h, w = (missing,) * (3 - len(sizes)) + tuple(sizes)
    return d, h, w


def forward_grid(output: Axes, kernel: Axes, stride: Axes, pad: Axes, dilation: Axes) -> Grid:
    """The pass of a forward convolution."""
    taps = tuple(tuple(t * d for t in range(k)) for k, d in zip(kernel, dilation, strict=True))
    return Grid(output, (0, 0, 0), (1, 1, 1), stride, pad, taps, tuple(tuple(range(k)) for k in kernel), kernel)


def backward_grids(image: Axes, kernel: Axes, stride: Axes, pad: Axes, dilation: Axes) -> tuple[Grid, ...]:
    """The passes that compute the gradient of an image from that of the output; phases without a tap are left out."""
    axes = [list(_phases(*sizes)) for sizes in zip(image, kernel, stride, pad, dilation, strict=True)]
    grids = []
    for d, h, w in itertools.product(*axes):
        extent, base, low, taps, places = zip(d, h, w, strict=True)
        if all(extent) and all(taps):
            grids.append(Grid(extent, base, stride, (1, 1, 1), low, taps, places, kernel))
    return tuple(grids)


def _phases(size: int, kernel: int, stride: int, pad: int, dilation: int) -> Iterator[tuple[Any, ...]]:
    """For each phase of one axis: extent, base, lowest shift, and positions and places of the taps that reach it."""
    for phase in range(stride):
        reach = [(phase + pad - t * dilation, t) for t in reversed(range(kernel))]
        shifts = [(r // stride, t) for r, t in reach if r % stride == 0]
        lowest = min((s for s, _ in shifts), default=0)
        taps = tuple(s - lowest for s, _ in shifts)
        yield -(-(size - phase) // stride), phase, -lowest, taps, tuple(t for _, t in shifts)
