"""Activations and dropouts that torch.nn.functional has not."""

import torch
from torch import Tensor


def scale_channels(x: Tensor, low: float, high: float, training: bool) -> Tensor:
    """In training each channel of each item times a factor drawn evenly from [low, high)."""
    if not training:
        return x
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2))
    return x * torch.empty(shape, dtype=x.dtype, device=x.device).uniform_(low, high)


def selu_dropout(x: Tensor, ratio: float, alpha: float, training: bool) -> Tensor:
    """Alpha dropout: what has mean 0 and variance 1 keeps them; dropped values become alpha."""
    if not training:
        return x
    kept = 1 - ratio
    scale = (kept + alpha**2 * kept * ratio) ** -0.5
    dropped = torch.rand_like(x) < ratio
    return scale * (x.masked_fill(dropped, alpha) - ratio * alpha)
