"""Values in another order."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def depth_to_space(x: Tensor, size: int) -> Tensor:
    """Channels (row, column, channel) become size x size pixels."""
    n, c, h, w = x.shape
    x = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // size**2, h * size, w * size)


def space_to_depth(x: Tensor, size: int) -> Tensor:
    """Blocks of size x size pixels become channels (row, column, channel)."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * size**2, h // size, w // size)


def reorg(x: Tensor, stride: int) -> Tensor:
    """Darknet's exchange of pixels for channels, which reads the memory under another shape."""
    n, c, h, w = x.shape
    x = x.reshape(n, c * h // stride**2, stride, w, stride).permute(0, 2, 4, 1, 3)
    return x.reshape(n, c * stride**2, h // stride, w // stride)


def space_to_batch(x: Tensor, block: tuple[int, ...], paddings: tuple[tuple[int, int], ...]) -> Tensor:
    """Pixel (i, j) of each block goes to item (i, j, n)."""
    rest = x.ndim - 1 - len(block)
    x = F.pad(x, [0, 0] * rest + [side for sides in reversed(paddings) for side in sides])
    n, sizes, behind = x.shape[0], x.shape[1 : 1 + len(block)], x.shape[1 + len(block) :]
    x = x.reshape(n, *(k for size, b in zip(sizes, block, strict=True) for k in (size // b, b)), *behind)
    inner, outer = range(2, 2 * len(block) + 1, 2), range(1, 2 * len(block), 2)
    x = x.permute(*inner, 0, *outer, *range(2 * len(block) + 1, x.ndim))
    return x.reshape(n * math.prod(block), *(size // b for size, b in zip(sizes, block, strict=True)), *behind)


def batch_to_space(x: Tensor, block: tuple[int, ...], crops: tuple[tuple[int, int], ...]) -> Tensor:
    """Item (i, j, n) has pixel (i, j) of each block: the inverse of `space_to_batch`."""
    axes, n = len(block), x.shape[0] // math.prod(block)
    sizes, behind = x.shape[1 : 1 + axes], x.shape[1 + axes :]
    x = x.reshape(*block, n, *sizes, *behind)
    order = [axes, *(k for i in range(axes) for k in (axes + 1 + i, i)), *range(2 * axes + 1, x.ndim)]
    x = x.permute(order).reshape(n, *(size * b for size, b in zip(sizes, block, strict=True)), *behind)
    for axis, (before, after) in enumerate(crops, 1):
        x = x.narrow(axis, before, x.shape[axis] - before - after)
    return x


def positions(batch: int, height: int, width: int) -> Tensor:
    """Column and row of each pixel: (batch, 2, height, width)."""
    grid = torch.meshgrid(torch.arange(float(width)), torch.arange(float(height)), indexing="xy")
    return torch.stack(grid).repeat(batch, 1, 1, 1)


def continuation(steps: int, items: int, like: Tensor) -> Tensor:
    """0 at the first step of each sequence, then 1: (steps, items)."""
    marks = torch.ones(steps, items, dtype=like.dtype, device=like.device)
    marks[0] = 0
    return marks
