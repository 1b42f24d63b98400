"""Operators of inference and filtering of scores, each with its gradient as a second operator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from segcaffe import functional
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
    options: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "iterations": iterations}
    removed: dict[str, Any] = {"remove_center": remove_center, "remove_bounds": remove_bounds}
    given = unary, guide, weight, compat
    return plainly(functional.local_meanfield, given, scale=scale, **options, **removed)


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
    options: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "iterations": iterations}
    removed: dict[str, Any] = {"remove_center": remove_center, "remove_bounds": remove_bounds}
    given = grad, unary, guide, weight, compat
    a, b, c, d = plainly(functional.local_meanfield_backward, given, scale=scale, **options, **removed)
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
    given = unary, image, spatial, bilateral, compat
    return plainly(functional.permutohedral_meanfield, given, iterations=iterations, **_thetas(thetas))


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
    given = grad, unary, image, spatial, bilateral, compat
    found = plainly(functional.permutohedral_meanfield_backward, given, iterations=iterations, **_thetas(thetas))
    a, b, c, d = found
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


differentiate(_local_meanfield, _local_meanfield_backward, tensors=4)
differentiate(_bilateral_cascade, _bilateral_cascade_backward, tensors=2)
differentiate(_permutohedral_meanfield, _permutohedral_meanfield_backward, tensors=5, to=(0, 2, 3, 4))
differentiate(_domain_transform, _domain_transform_backward, tensors=2)
