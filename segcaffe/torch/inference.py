"""Operators of inference and filtering of scores, each with its gradient as a second operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segcaffe import functional
from segcaffe.torch.declare import Sizes, empty, keep_tensors, operator, plainly


@operator("local_meanfield")
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


@_local_meanfield.register_fake
def _(
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
    return empty(unary)


@operator("local_meanfield_backward")
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


@_local_meanfield_backward.register_fake
def _(
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
    return empty(unary), empty(guide), empty(weight), empty(compat)


def _meanfield_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    found = torch.ops.segcaffe.local_meanfield_backward(grad, *ctx.saved_tensors, *ctx.options)
    return (*found, *[None] * 6)


@operator("bilateral_cascade")
def _bilateral_cascade(
    scores: Tensor, guide: Tensor, kernel_size: Sizes, dilation: Sizes, norm: str, scale: float, rounds: int
) -> Tensor:
    options: dict[str, Any] = {"kernel_size": kernel_size, "dilation": dilation, "norm": norm, "rounds": rounds}
    return plainly(functional.bilateral_cascade, (scores, guide), scale=scale, **options)


@_bilateral_cascade.register_fake
def _(
    scores: Tensor, guide: Tensor, kernel_size: Sizes, dilation: Sizes, norm: str, scale: float, rounds: int
) -> Tensor:
    return empty(scores)


@operator("bilateral_cascade_backward")
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


@_bilateral_cascade_backward.register_fake
def _(
    grad: Tensor,
    scores: Tensor,
    guide: Tensor,
    kernel_size: Sizes,
    dilation: Sizes,
    norm: str,
    scale: float,
    rounds: int,
) -> tuple[Tensor, Tensor]:
    return empty(scores), empty(guide)


@operator("permutohedral_meanfield")
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


@_permutohedral_meanfield.register_fake
def _(
    unary: Tensor,
    image: Tensor,
    spatial: Tensor,
    bilateral: Tensor,
    compat: Tensor,
    thetas: list[float],
    iterations: int,
) -> Tensor:
    return empty(unary)


@operator("permutohedral_meanfield_backward")
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


@_permutohedral_meanfield_backward.register_fake
def _(
    grad: Tensor,
    unary: Tensor,
    image: Tensor,
    spatial: Tensor,
    bilateral: Tensor,
    compat: Tensor,
    thetas: list[float],
    iterations: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return empty(unary), empty(spatial), empty(bilateral), empty(compat)


@operator("domain_transform")
def _domain_transform(
    values: Tensor, edges: Tensor, spatial_sigma: float, range_sigma: float, iterations: int, min_weight: float
) -> Tensor:
    sigmas: dict[str, Any] = {"spatial_sigma": spatial_sigma, "range_sigma": range_sigma}
    return plainly(functional.domain_transform, (values, edges), iterations=iterations, min_weight=min_weight, **sigmas)


@_domain_transform.register_fake
def _(
    values: Tensor, edges: Tensor, spatial_sigma: float, range_sigma: float, iterations: int, min_weight: float
) -> Tensor:
    return empty(values)


@operator("domain_transform_backward")
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


@_domain_transform_backward.register_fake
def _(
    grad: Tensor,
    values: Tensor,
    edges: Tensor,
    spatial_sigma: float,
    range_sigma: float,
    iterations: int,
    min_weight: float,
) -> tuple[Tensor, Tensor]:
    return empty(values), empty(edges)


def _thetas(thetas: list[float]) -> dict[str, Any]:
    return dict(zip(("theta_alpha", "theta_beta", "theta_gamma"), thetas, strict=True))


def _cascade_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    found = torch.ops.segcaffe.bilateral_cascade_backward(grad, *ctx.saved_tensors, *ctx.options)
    return (*found, *[None] * 5)


def _permutohedral_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    unary, *matrices = torch.ops.segcaffe.permutohedral_meanfield_backward(grad, *ctx.saved_tensors, *ctx.options)
    return (unary, None, *matrices, None, None)


def _domain_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    found = torch.ops.segcaffe.domain_transform_backward(grad, *ctx.saved_tensors, *ctx.options)
    return (*found, *[None] * 4)


_local_meanfield.register_autograd(_meanfield_gradients, setup_context=keep_tensors(4))
_bilateral_cascade.register_autograd(_cascade_gradients, setup_context=keep_tensors(2))
_permutohedral_meanfield.register_autograd(_permutohedral_gradients, setup_context=keep_tensors(5))
_domain_transform.register_autograd(_domain_gradients, setup_context=keep_tensors(2))
