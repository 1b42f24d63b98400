"""Norms, and layers of factors, that torch.nn has not."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Scale(nn.Module):
    """A factor and an addend of their own for each channel, or whatever axes ``shape`` has."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


class Frozen(nn.Module):
    """Its norm uses the stored statistics in training, too."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)


class FrozenBatchNorm1d(Frozen, nn.BatchNorm1d):
    """A norm that uses its stored statistics in training, too."""


class FrozenBatchNorm2d(Frozen, nn.BatchNorm2d):
    """A norm that uses its stored statistics in training, too."""


class FrozenBatchNorm3d(Frozen, nn.BatchNorm3d):
    """A norm that uses its stored statistics in training, too."""


class Live(nn.Module):
    """Its norm uses the batch's statistics when the model is evaluated, too."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class LiveBatchNorm1d(Live, nn.BatchNorm1d):
    """A norm that uses the batch's statistics when the model is evaluated, too."""


class LiveBatchNorm2d(Live, nn.BatchNorm2d):
    """A norm that uses the batch's statistics when the model is evaluated, too."""


class LiveBatchNorm3d(Live, nn.BatchNorm3d):
    """A norm that uses the batch's statistics when the model is evaluated, too."""


def first_momentum(norm: nn.Module, momentum: float) -> float:
    """What the next batch counts where running averages start from nothing, so that the first one counts alone."""
    seen = int(norm.num_batches_tracked)
    return momentum / (1 - (1 - momentum) ** (seen + 1)) if momentum else 0.0


class Starting(nn.Module):
    """Its norm's running averages are corrected for their start, as Caffe's are."""

    def __init__(self, channels: int, momentum: float = 0.1, **options: float) -> None:
        super().__init__(channels, momentum=momentum, **options)
        self.final_momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.momentum = first_momentum(self, self.final_momentum)
        return super().forward(x)


class StartingBatchNorm1d(Starting, nn.BatchNorm1d):
    """A norm whose running averages are corrected for their start, as Caffe's are."""


class StartingBatchNorm2d(Starting, nn.BatchNorm2d):
    """A norm whose running averages are corrected for their start, as Caffe's are."""


class StartingBatchNorm3d(Starting, nn.BatchNorm3d):
    """A norm whose running averages are corrected for their start, as Caffe's are."""


def mean_variance_norm(x: Tensor, dims: tuple[int, ...], eps: float | None = None) -> Tensor:
    """Zero mean over ``dims`` and, with ``eps``, which is added to the deviation, unit variance."""
    x = x - x.mean(dims, keepdim=True)
    if eps is None:
        return x
    # The root has no slope at 0.
    deviation = x.square().mean(dims, keepdim=True).clamp_min(1e-30).sqrt()
    return x / (deviation + eps)


def length(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """Euclidean lengths over ``dims``; eps stands under the root."""
    return torch.sqrt(x.square().sum(dims, keepdim=True) + eps)


class Normalize(nn.Module):
    """Vectors over ``dims`` become of length 1, and are scaled."""

    def __init__(self, shape: tuple[int, ...], dims: tuple[int, ...], eps: float, eps_outside: float = 0.0) -> None:
        super().__init__()
        self.dims, self.eps, self.eps_outside = dims, eps, eps_outside
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x / (length(x, self.dims, self.eps) + self.eps_outside) * self.weight


def response_norm_within_channels(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """Local response normalization over size x size pixels of the same channel."""
    mean = F.avg_pool2d(x.square(), size, stride=1, padding=size // 2)
    return x * (1 + alpha * mean) ** -beta


class NormalizedLinear(nn.Linear):
    """A linear layer whose weights are brought to length 1, row by row, before they are used."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight /= torch.sqrt(self.weight.square().sum(1, keepdim=True) + 1e-6)
        return super().forward(x)
