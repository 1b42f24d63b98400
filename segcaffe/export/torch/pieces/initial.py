"""Initial values that torch.nn.init has not."""

import torch
from torch import Tensor, nn


def bilinear_(weight: Tensor) -> None:
    """The weights of a deconvolution that enlarges images linearly."""
    size = weight.shape[3]
    factor = (size + 1) // 2
    ramp = 1 - (torch.arange(size) / factor - (size - 1) / (2 * factor)).abs()
    with torch.no_grad():
        weight.copy_((ramp[:, None] * ramp).expand_as(weight))


def sparse_gaussian_(weight: Tensor, mean: float, std: float, count: int) -> None:
    """Normal values of which about ``count`` for each input are kept, the others 0."""
    nn.init.normal_(weight, mean, std)
    with torch.no_grad():
        weight.mul_(torch.rand_like(weight) < count / weight.shape[0])


def positive_unitball_(weight: Tensor) -> None:
    """Positive values that sum to 1 for each output."""
    with torch.no_grad():
        weight.uniform_()
        weight.div_(weight.flatten(1).sum(1).view(-1, *(1,) * (weight.ndim - 1)))


def coordinates_(weight: Tensor) -> None:
    """Channel 0 is the column's number, channel 1 the row's."""
    height, width = weight.shape[2:]
    with torch.no_grad():
        weight[:, 0] = torch.arange(width)
        weight[:, 1] = torch.arange(height)[:, None]
