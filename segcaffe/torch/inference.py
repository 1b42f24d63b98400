"""Operators of inference and filtering of scores, each with its gradient as a second operator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from segcaffe import functional
from segcaffe.torch import keeping
from segcaffe.torch.declare import Sizes, differentiate, like, operator, plainly


@operator("local_meanfield", like(0))
def _local_meanfield(
    unary: Tensor,
    guide: Tensor,
    weight: Tensor,
    compat: Tensor,
    kernel_size: Sizes,
    dilation: Sizes,
    scale: float,
    iterations: int,
    remove_center: bool,
    remove_bounds: bool,
) -> Tensor:
    options = _meanfield_options(kernel_size, dilation, scale, iterations, remove_center, remove_bounds)
    return plainly(functional.local_meanfield, (unary, guide, weight, compat), keep=keeping.offered(), **options)


@operator("local_meanfield_backward", like(1, 2, 3, 4))
def _local_meanfield_backward(
    grad: Tensor,
    unary: Tensor,
    guide: Tensor,
    weight: Tensor,
    compat: Tensor,
    kernel_size: Sizes,
    dilation: Sizes,
    scale: float,
    iterations: int,
    remove_center: bool,
    remove_bounds: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = kernel_size, dilation, scale, iterations, remove_center, remove_bounds
    return _meanfield_gradients(grad, unary, guide, weight, compat, *options)


def _meanfield_options(
    kernel_size: Sizes, dilation: Sizes, scale: float, iterations: int, remove_center: bool, remove_bounds: bool
) -> dict[str, Any]:
    removed = {"remove_center": remove_center, "remove_bounds": remove_bounds}
    return {"kernel_size": kernel_size, "dilation": dilation, "scale": scale, "iterations": iterations, **removed}


def _meanfield_gradients(*given: Any, keep: functional.Kept | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the gradient, four tensors and the operator's options."""
    options = _meanfield_options(*given[5:])
    a, b, c, d = plainly(functional.local_meanfield_backward, given[:5], keep=keep, **options)
    return a, b, c, d


@operator("bilateral_cascade", like(0))
def _bilateral_cascade(
    scores: Tensor, guide: Tensor, kernel_size: Sizes, dilation: Sizes, norm: str, scale: float, rounds: int
) -> Tensor:
    options: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "norm": norm, "rounds": rounds}
    return plainly(functional.bilateral_cascade, (scores, guide), scale=scale, **options)


@operator("bilateral_cascade_backward", like(1, 2))
def _bilateral_cascade_backward(
    grad: Tensor,
    scores: Tensor,
    guide: Tensor,
    kernel_size: Sizes,
    dilation: Sizes,
    norm: str,
    scale: float,
    rounds: int,
) -> tuple[Tensor, Tensor]:
    options: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "norm": norm, "rounds": rounds}
    a, b = plainly(functional.bilateral_cascade_backward, (grad, scores, guide), scale=scale, **options)
    return a, b


@operator("permutohedral_meanfield", like(0))
def _permutohedral_meanfield(
    unary: Tensor,
    image: Tensor,
    spatial: Tensor,
    bilateral: Tensor,
    compat: Tensor,
    thetas: list[float],
    iterations: int,
) -> Tensor:
    given, options = (unary, image, spatial, bilateral, compat), {"iterations": iterations, **_thetas(thetas)}
    return plainly(functional.permutohedral_meanfield, given, keep=keeping.offered(), **options)


@operator("permutohedral_meanfield_backward", like(1, 3, 4, 5))
def _permutohedral_meanfield_backward(
    grad: Tensor,
    unary: Tensor,
    image: Tensor,
    spatial: Tensor,
    bilateral: Tensor,
    compat: Tensor,
    thetas: list[float],
    iterations: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _permutohedral_gradients(grad, unary, image, spatial, bilateral, compat, thetas, iterations)


def _permutohedral_gradients(*given: Any, keep: functional.Kept | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the gradient, five tensors and the operator's options."""
    thetas, iterations = given[6:]
    options: dict[str, Any] = {"iterations": iterations, **_thetas(thetas)}
    a, b, c, d = plainly(functional.permutohedral_meanfield_backward, given[:6], keep=keep, **options)
    return a, b, c, d


@operator("domain_transform", like(0))
def _domain_transform(
    values: Tensor, edges: Tensor, spatial_sigma: float, range_sigma: float, iterations: int, min_weight: float
) -> Tensor:
    sigmas: dict[str, Any] = {"spatial_sigma": spatial_sigma, "range_sigma": range_sigma}
    return plainly(functional.domain_transform, (values, edges), iterations=iterations, min_weight=min_weight, **sigmas)


@operator("domain_transform_backward", like(1, 2))
def _domain_transform_backward(
    grad: Tensor,
    values: Tensor,
    edges: Tensor,
    spatial_sigma: float,
    range_sigma: float,
    iterations: int,
    min_weight: float,
) -> tuple[Tensor, Tensor]:
    named: dict[str, Any] = {"spatial_sigma": spatial_sigma, "range_sigma": range_sigma, "min_weight": min_weight}
    a, b = plainly(functional.domain_transform_backward, (grad, values, edges), iterations=iterations, **named)
    return a, b


def _thetas(thetas: list[float]) -> dict[str, Any]:
    return dict(zip(("theta_alpha", "theta_beta", "theta_gamma"), thetas, strict=True))


keeping.differentiate("local_meanfield", _local_meanfield, _meanfield_gradients, tensors=4)
differentiate("bilateral_cascade", _bilateral_cascade, tensors=2)
_PLACES = (0, 2, 3, 4)
keeping.differentiate(
    "permutohedral_meanfield", _permutohedral_meanfield, _permutohedral_gradients, tensors=5, to=_PLACES
)
differentiate("domain_transform", _domain_transform, tensors=2)
