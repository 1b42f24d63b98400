"""`segcaffe.functional` for PyTorch: with gradients, shapes for the compiler, float32 in autocast.

The functions fill in what may be left out, as `segcaffe.functional` has it, and call the operators, which `masks` and
`inference` declare: `torch.compile` need look into neither them nor their gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segcaffe.errors import ShapeError
from segcaffe.functional.windows import Padding, window
from segcaffe.torch import inference, keeping, masks, transforms
from segcaffe.torch.declare import Sizes

Size = int | Sequence[int]
Norm = str
DECLARED = masks, inference


def local_distance(
    embeddings: Tensor,
    kernel_size: Size,
    dilation: Size = 1,
    norm: Norm = "l2",
    *,
    stride: Size = 1,
    padding: Padding = "same",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Tensor:
    """`segcaffe.functional.local_distance` with gradients: (N, E, H, W) becomes (N, kh·kw, H', W')."""
    sizes = _window("local_distance", kernel_size, stride, padding, dilation)
    return transforms.run("local_distance", embeddings, *sizes, norm, remove_center, remove_bounds)


def local_parity(
    labels: Tensor,
    kernel_size: Size,
    dilation: Size = 1,
    *,
    stride: Size = 1,
    padding: Padding = "same",
    ignore_label: int | None = None,
) -> Tensor:
    """`segcaffe.functional.local_parity`: labels (N, 1, H, W), of any dtype, become (N, kh·kw, H', W'), float32."""
    sizes = _window("local_parity", kernel_size, stride, padding, dilation)
    return transforms.run("local_parity", labels.float(), *sizes, ignore_label)


def masked_conv2d(
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """`segcaffe.functional.masked_conv2d` with gradients of all that it is given."""
    _, *sizes = _window("masked_conv2d", list(weight.shape[2:]), stride, padding, dilation)
    return transforms.run("masked_conv2d", x, mask, weight, bias, *sizes, groups)


def norm_conv2d(
    x: Tensor,
    embeddings: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | float = 1.0,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    norm: Norm = "l2",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Tensor:
    """`segcaffe.functional.norm_conv2d` with gradients; that of ``scale`` where it is a tensor of one element.

    A window's weights are a softmax over its taps, made by PyTorch; then they are the mask of `masked_conv2d`.
    """
    kernel_size = list(weight.shape[2:])
    options: dict[str, Any] = {"stride": stride, "padding": padding, "remove_center": remove_center}
    distance = local_distance(embeddings, kernel_size, dilation, norm, remove_bounds=remove_bounds, **options)
    return masked_conv2d(x, torch.softmax(-scale * distance, 1), weight, bias, stride, padding, dilation, groups)


def local_meanfield(
    unary: Tensor,
    guide: Tensor,
    weight: Tensor | None = None,
    compat: Tensor | None = None,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    scale: float = 1.0,
    iterations: int = 3,
    remove_center: bool = True,
    remove_bounds: bool = True,
) -> Tensor:
    """`segcaffe.functional.local_meanfield` with gradients of ``unary``, ``guide``, ``weight`` and ``compat``."""
    identity = torch.eye(unary.shape[1], dtype=unary.dtype, device=unary.device)
    matrices = (identity if weight is None else weight, -identity if compat is None else compat)
    kernel, _, _, far = _window("local_meanfield", kernel_size, 1, "same", dilation)
    options = _number("local_meanfield", "scale", scale), iterations, remove_center, remove_bounds
    tensors = unary, guide, *matrices
    return keeping.call("local_meanfield", tensors, kernel, far, *options)


def bilateral_cascade(
    scores: Tensor,
    guide: Tensor,
    *,
    kernel_size: Size = 9,
    dilation: Size = 1,
    norm: Norm = "l1",
    scale: float = 50.0,
    rounds: int = 2,
) -> Tensor:
    """`segcaffe.functional.bilateral_cascade` with gradients of ``scores`` and ``guide``."""
    kernel, _, _, far = _window("bilateral_cascade", kernel_size, 1, "same", dilation)
    number = _number("bilateral_cascade", "scale", scale)
    return transforms.run("bilateral_cascade", scores, guide, kernel, far, norm, number, rounds)


def permutohedral_meanfield(
    unary: Tensor,
    image: Tensor,
    spatial: Tensor | float = 3.0,
    bilateral: Tensor | float = 10.0,
    compat: Tensor | None = None,
    *,
    theta_alpha: float = 80.0,
    theta_beta: float = 13.0,
    theta_gamma: float = 3.0,
    iterations: int = 5,
) -> Tensor:
    """`segcaffe.functional.permutohedral_meanfield` with gradients of ``unary`` and the matrices."""
    identity = torch.eye(unary.shape[1], dtype=unary.dtype, device=unary.device)
    matrices = [one if isinstance(one, Tensor) and one.ndim else one * identity for one in (spatial, bilateral)]
    matrices.append(-identity if compat is None else compat)
    named = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": theta_gamma}
    thetas = [_number("permutohedral_meanfield", name, theta) for name, theta in named.items()]
    tensors = unary, image if image.is_floating_point() else image.to(unary.dtype), *matrices
    return keeping.call("permutohedral_meanfield", tensors, thetas, iterations)


def domain_transform(
    values: Tensor,
    edges: Tensor,
    *,
    spatial_sigma: float = 50.0,
    range_sigma: float = 5.0,
    iterations: int = 3,
    min_weight: float = 0.0,
) -> Tensor:
    """`segcaffe.functional.domain_transform` with gradients of ``values`` and ``edges``."""
    named = {"spatial_sigma": spatial_sigma, "range_sigma": range_sigma, "min_weight": min_weight}
    spatial, bilateral, least = (_number("domain_transform", name, one) for name, one in named.items())
    options = spatial, bilateral, iterations, least
    return transforms.run("domain_transform", values, edges, *options)


def _number(function: str, name: str, value: Tensor | float) -> float:
    """An option that is a number. Raises ShapeError for one that is to have a gradient, which would be lost."""
    if isinstance(value, Tensor) and value.requires_grad:
        raise ShapeError(
            f"{function}: {name} gets no gradient. Received: a tensor that requires one. Give {name}.detach(); to "
            "learn how sharp a guide is, multiply the guide by a parameter."
        )
    return float(value)


def _window(name: str, kernel_size: Size, stride: Size, padding: Any, dilation: Size) -> list[Sizes]:
    """Kernel size, stride, padding and dilation, each (height, width). Raises ShapeError."""
    view = window(name, kernel_size, stride, padding, dilation)
    return [list(view.kernel), list(view.stride), list(view.pad), list(view.dilation)]
