"""Modules of PyTorch over the operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from segcaffe.errors import ShapeError
from segcaffe.torch.operators import Norm, Size, local_distance, local_meanfield, local_parity, masked_conv2d

if TYPE_CHECKING:
    from typing_extensions import Self


class SegAwareConv2d(nn.Conv2d):
    """A convolution whose filters see the local foreground: windows are masked by how alike embeddings are.

    ``mask = exp(-scale · local_distance(embeddings))``, then `masked_conv2d`. Embeddings (N, E, h, w) of another size
    than ``x`` (N, C, H, W) are resized to it, bilinearly, corners on corners, as the paper does.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, conv2d, more:
        As of ``torch.nn.Conv2d``, in its order or by name: stride, padding, dilation, groups, bias… This has its
        parameters; ``padding_mode`` is "zeros".
    norm:
        Of the distances, "l1" or "l2".
    scale:
        What λ starts as. At 0 the module is the plain convolution.
    learn_scale:
        Whether λ is a parameter, or a buffer.

    Source: Harley et al. 2017, section 3.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *conv2d: object,
        norm: Norm = "l1",
        scale: float = 1.0,
        learn_scale: bool = True,
        **more: object,
    ) -> None:
        _check_positive(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        super().__init__(in_channels, out_channels, kernel_size, *conv2d, **more)
        if self.padding_mode != "zeros":
            raise ValueError(f'SegAwareConv2d pads with zeros. Received: padding_mode="{self.padding_mode}".')
        self.norm = norm
        value = torch.full((1,), float(scale), dtype=self.weight.dtype, device=self.weight.device)
        if learn_scale:
            self.scale = nn.Parameter(value)
        else:
            self.register_buffer("scale", value)

    @classmethod
    def of(cls, conv: nn.Conv2d, norm: Norm = "l1", scale: float = 1.0, learn_scale: bool = True) -> Self:
        """Make one of a plain convolution, whose parameters (the same objects) it takes over."""
        made = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            norm=norm,
            scale=scale,
            learn_scale=learn_scale,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        made.weight, made.bias = conv.weight, conv.bias
        made.train(conv.training)
        return made

    def forward(self, x: Tensor, embeddings: Tensor) -> Tensor:
        """Convolve ``x`` (N, C, H, W) under the masks of ``embeddings`` (N, E, h, w): (N, M, H', W')."""
        if x.ndim != 4 or embeddings.ndim != 4:
            raise ShapeError(
                "SegAwareConv2d: x must have shape (N, C, H, W), embeddings (N, E, h, w). "
                f"Received: {tuple(x.shape)}, {tuple(embeddings.shape)}."
            )
        if embeddings.shape[2:] != x.shape[2:]:
            embeddings = nn.functional.interpolate(embeddings, x.shape[2:], mode="bilinear", align_corners=True)
        window = {"stride": self.stride, "padding": self.padding}
        distance = local_distance(embeddings, self.kernel_size, self.dilation, self.norm, **window)
        mask = torch.mul(distance, -self.scale).exp_()
        options = self.stride, self.padding, self.dilation, self.groups
        return masked_conv2d(x, mask.to(x.dtype), self.weight, self.bias, *options)

    def extra_repr(self) -> str:
        """What the module's line of a model's listing says."""
        return f"{super().extra_repr()}, norm={self.norm}"


class LocalMeanField(nn.Module):
    """`local_meanfield` with learnt matrices: how classes' filtered scores mix, and what they cost beside each other.

    Parameters
    ----------
    num_classes:
        C.
    kernel_size, dilation, scale, iterations, remove_center, remove_bounds:
        As of `segcaffe.functional.local_meanfield`.

    Source: Harley et al. 2017, section 3.4.
    """

    def __init__(
        self,
        num_classes: int,
        kernel_size: Size = 9,
        dilation: Size = 1,
        scale: float = 1.0,
        iterations: int = 3,
        remove_center: bool = True,
        remove_bounds: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(num_classes))
        self.compat = nn.Parameter(-torch.eye(num_classes))
        self.kernel_size, self.dilation, self.scale, self.iterations = kernel_size, dilation, scale, iterations
        self.remove_center, self.remove_bounds = remove_center, remove_bounds

    def forward(self, unary: Tensor, guide: Tensor) -> Tensor:
        """Sharpen ``unary`` (N, C, H, W) along ``guide`` (N, E, H, W): scores before a softmax."""
        return local_meanfield(
            unary,
            guide,
            self.weight,
            self.compat,
            kernel_size=self.kernel_size,
            dilation=self.dilation,
            scale=self.scale,
            iterations=self.iterations,
            remove_center=self.remove_center,
            remove_bounds=self.remove_bounds,
        )

    def extra_repr(self) -> str:
        """What the module's line of a model's listing says."""
        window = f"kernel_size={self.kernel_size}, dilation={self.dilation}"
        return f"{len(self.weight)}, {window}, scale={self.scale}, iterations={self.iterations}"


class DistLoss(nn.Module):
    """What embeddings are trained with: pixels of one label less than ``alpha`` apart, others more than ``beta``.

    The value is the mean hinge over all pairs of a window's centre and its taps, ignored ones counted as 0. The
    gradient is that of half the mean squared hinge, as of the layer DistLoss: the published networks were trained so.

    Parameters
    ----------
    kernel_size, dilation, norm:
        Of the windows and distances.
    alpha, beta:
        In units of distance.
    ignore_label:
        A label whose pairs do not count; 255 has no place among classes.

    Source: Harley et al. 2017, section 3.1.
    """

    def __init__(
        self,
        kernel_size: Size = 3,
        dilation: Size | Sequence[int] = 1,
        norm: Norm = "l1",
        alpha: float = 0.5,
        beta: float = 2.0,
        ignore_label: int | None = 255,
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.norm = kernel_size, dilation, norm
        self.alpha, self.beta, self.ignore_label = alpha, beta, ignore_label

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compare ``embeddings`` (N, E, H, W) with ``labels`` (N, 1, H, W) or (N, H, W): a scalar."""
        labels = labels[:, None] if labels.ndim == 3 else labels
        expected = (embeddings.shape[0], 1, *embeddings.shape[2:])
        if tuple(labels.shape) != expected:
            # Otherwise one image's labels would serve a whole batch.
            raise ValueError(
                f"DistLoss: labels must have shape {expected}, as the embeddings have, or that without its axis of 1. "
                f"Received: {tuple(labels.shape)}."
            )
        distance = local_distance(embeddings, self.kernel_size, self.dilation, self.norm)
        parity = local_parity(labels, self.kernel_size, self.dilation, ignore_label=self.ignore_label)
        hinge = torch.where(parity != 0, distance - self.alpha, self.beta - distance).clamp(min=0)
        if self.ignore_label is not None:
            hinge = torch.where(parity == self.ignore_label, torch.zeros_like(hinge), hinge)
        learnt = 0.5 * hinge.square().mean()
        return learnt + (hinge.mean() - learnt).detach()

    def extra_repr(self) -> str:
        """What the module's line of a model's listing says."""
        window = f"kernel_size={self.kernel_size}, dilation={self.dilation}, norm={self.norm}"
        return f"{window}, alpha={self.alpha}, beta={self.beta}, ignore_label={self.ignore_label}"


def _check_positive(**sizes: Size) -> None:
    """Raise ValueError for sizes below 1, of which PyTorch makes a convolution without weights, or none."""
    for name, size in sizes.items():
        if min((size,) if isinstance(size, int) else size) < 1:
            raise ValueError(f"SegAwareConv2d: {name} must be 1 or more. Received: {size}.")
