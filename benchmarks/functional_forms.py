"""The paper's operators as one writes them in PyTorch, each in several ways; compiled, and tap by tap, the fastest.

Masked convolution: ``mask = exp(-scale · Σ|d|)``, 3x3, padded with zeros. Mean field: as
`segcaffe.functional.local_meanfield` defines it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Form = Callable[..., Tensor]
KERNEL = 3


class Mean(NamedTuple):
    """Window, dilation and iterations of a mean field."""

    kernel: int
    dilation: int
    iterations: int

    @property
    def pad(self) -> int:
        """Of images whose windows all fit."""
        return self.dilation * (self.kernel // 2)

    def taps(self) -> list[tuple[int, int]]:
        """Where neighbours begin in a padded image, without the centre."""
        places = range(0, self.kernel * self.dilation, self.dilation)
        return [(i, j) for i in places for j in places if (i, j) != (self.pad, self.pad)]


def conv_taps(x: Tensor, e: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Masked pixels of a tap times the tap's weights, summed over the taps: no columns."""
    padded, out = _pad(x, 1), bias[:, None, None]
    for (i, j), mask in zip(_places(), _masks(e, scale), strict=True):
        product = weight[:, :, i, j] @ (_tap(padded, i, j, x) * mask).flatten(2)
        out = out + product.view(x.shape[0], -1, *x.shape[2:])
    return out


def conv_products(x: Tensor, e: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """All taps' products at once, a convolution of one pixel; then masked and summed, each tap at its place."""
    outputs = weight.shape[0]
    rows = weight.permute(2, 3, 0, 1).reshape(-1, x.shape[1], 1, 1)
    products = _pad(functional.conv2d(x, rows), 1)
    out = bias[:, None, None]
    for t, ((i, j), mask) in enumerate(zip(_places(), _masks(e, scale), strict=True)):
        out = out + _tap(products[:, t * outputs : (t + 1) * outputs], i, j, x) * mask
    return out


def conv_unfold(x: Tensor, e: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Columns by unfold, times the mask, times the weights."""
    n, c, h, w = x.shape
    columns = functional.unfold(e, KERNEL, padding=1).view(n, -1, KERNEL**2, h * w)
    inside = functional.unfold(torch.ones_like(e[:, :1]), KERNEL, padding=1)
    distance = (columns - e.view(n, -1, 1, h * w)).abs().sum(1) * inside
    mask = torch.exp(-scale * distance)[:, None]
    masked = (functional.unfold(x, KERNEL, padding=1).view(n, c, KERNEL**2, h * w) * mask).view(n, -1, h * w)
    return (weight.flatten(1) @ masked + bias[:, None]).view(n, -1, h, w)


def meanfield_taps(unary: Tensor, guide: Tensor, weight: Tensor, compat: Tensor, mean: Mean) -> Tensor:
    """Neighbour by neighbour: distances, and in each iteration sums."""
    return _iterate(unary, weight, compat, mean, weights_taps(guide, mean), average_taps)


def meanfield_windows(unary: Tensor, guide: Tensor, weight: Tensor, compat: Tensor, mean: Mean) -> Tensor:
    """Windows as a view of the padded image, which a compiler reads without writing them out."""
    return _iterate(unary, weight, compat, mean, weights_windows(guide, mean), average_windows)


def meanfield_unfold(unary: Tensor, guide: Tensor, weight: Tensor, compat: Tensor, mean: Mean) -> Tensor:
    """Windows by unfold."""
    return _iterate(unary, weight, compat, mean, _weights_unfold(guide, mean), _average_unfold)


def compiled_meanfield_taps(unary: Tensor, guide: Tensor, weight: Tensor, compat: Tensor, mean: Mean) -> Tensor:
    """`meanfield_taps` with its two loops over the neighbours compiled; unrolled as a whole it compiles for an hour."""
    return _iterate(unary, weight, compat, mean, _compiled_weights(guide, mean), _compiled_average)


def weights_taps(guide: Tensor, mean: Mean) -> Tensor:
    """(N, taps, H, W), neighbour by neighbour."""
    padded, inside = _pad(guide, mean.pad), _pad(torch.ones_like(guide[:, :1]), mean.pad)
    scores = []
    for i, j in mean.taps():
        distance = 0.5 * (guide - _tap(padded, i, j, guide)).square().sum(1)
        scores.append(torch.where(_tap(inside, i, j, guide)[:, 0] > 0, -distance, -torch.inf))
    return torch.softmax(torch.stack(scores, 1), 1)


def average_taps(probabilities: Tensor, weights: Tensor, mean: Mean) -> Tensor:
    """Sums of neighbours, one after the other."""
    padded, total = _pad(probabilities, mean.pad), torch.zeros_like(probabilities)
    for t, (i, j) in enumerate(mean.taps()):
        total = total + weights[:, t : t + 1] * _tap(padded, i, j, probabilities)
    return total


def weights_windows(guide: Tensor, mean: Mean) -> Tensor:
    """(N, kernel, kernel, H, W), by a view."""
    distance = 0.5 * (guide[:, :, None, None] - _windows(guide, mean)).square().sum(1)
    centre = torch.zeros(mean.kernel, mean.kernel, dtype=torch.bool)
    centre[mean.kernel // 2, mean.kernel // 2] = True
    counts = (_windows(torch.ones_like(guide[:, :1]), mean)[:, 0] > 0) & ~centre[:, :, None, None]
    scores = torch.where(counts, -distance, -torch.inf)
    return torch.softmax(scores.flatten(1, 2), 1).view(scores.shape)


def average_windows(probabilities: Tensor, weights: Tensor, mean: Mean) -> Tensor:
    """Sums over a view."""
    return (_windows(probabilities, mean) * weights[:, None]).sum((2, 3))


def _weights_unfold(guide: Tensor, mean: Mean) -> Tensor:
    inside = _unfold(torch.ones_like(guide[:, :1]), mean)[:, 0] > 0
    inside[:, mean.kernel**2 // 2] = False
    distance = 0.5 * (guide.flatten(2)[:, :, None] - _unfold(guide, mean)).square().sum(1)
    return torch.softmax(torch.where(inside, -distance, -torch.inf), 1)


def _average_unfold(probabilities: Tensor, weights: Tensor, mean: Mean) -> Tensor:
    return (_unfold(probabilities, mean) * weights[:, None]).sum(2).view(probabilities.shape)


def _iterate(unary: Tensor, weight: Tensor, compat: Tensor, mean: Mean, weights: Tensor, average: Any) -> Tensor:
    q, mixed = unary, compat @ weight
    for _ in range(mean.iterations):
        q = unary - torch.einsum("ij,njhw->nihw", mixed, average(torch.softmax(q, 1), weights, mean))
    return q


def _places() -> list[tuple[int, int]]:
    return [divmod(t, KERNEL) for t in range(KERNEL**2)]


def _masks(e: Tensor, scale: Tensor) -> list[Tensor]:
    padded, inside = _pad(e, 1), _pad(torch.ones_like(e[:, :1]), 1)
    distances = ((_tap(padded, i, j, e) - e).abs().sum(1, keepdim=True) * _tap(inside, i, j, e) for i, j in _places())
    return [torch.exp(-scale * distance) for distance in distances]


def _pad(images: Tensor, pad: int) -> Tensor:
    return functional.pad(images, (pad,) * 4)


def _tap(padded: Tensor, i: int, j: int, images: Tensor) -> Tensor:
    return padded[:, :, i : i + images.shape[2], j : j + images.shape[3]]


def _windows(images: Tensor, mean: Mean) -> Tensor:
    padded, (h, w) = _pad(images, mean.pad), images.shape[2:]
    n, c, y, x = padded.stride()
    shape = (*images.shape[:2], mean.kernel, mean.kernel, h, w)
    return padded.as_strided(shape, (n, c, y * mean.dilation, x * mean.dilation, y, x))


def _unfold(images: Tensor, mean: Mean) -> Tensor:
    columns = functional.unfold(images, mean.kernel, padding=mean.pad, dilation=mean.dilation)
    return columns.view(*images.shape[:2], mean.kernel**2, -1)


_compiled_weights, _compiled_average = torch.compile(weights_taps), torch.compile(average_taps)
