"""Operators of masks and masked convolution, each with its gradient as a second operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segcaffe import functional
from segcaffe.torch.declare import Sizes, empty, operator, plainly, positions


@operator("local_distance")
def _local_distance(
    embeddings: Tensor,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    norm: str,
    remove_center: bool,
    remove_bounds: bool,
) -> Tensor:
    options: dict[str, Any] = {"remove_center": remove_center, "remove_bounds": remove_bounds, "stride": stride}
    return plainly(functional.local_distance, (embeddings,), kernel_size, dilation, norm, padding=padding, **options)


@_local_distance.register_fake
def _(
    embeddings: Tensor,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    norm: str,
    remove_center: bool,
    remove_bounds: bool,
) -> Tensor:
    size = positions(embeddings.shape[2:], kernel_size, stride, padding, dilation)
    return embeddings.new_empty((embeddings.shape[0], kernel_size[0] * kernel_size[1], *size))


@operator("local_distance_backward")
def _local_distance_backward(
    grad: Tensor,
    embeddings: Tensor,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    norm: str,
) -> Tensor:
    given, options = (grad, embeddings), (kernel_size, dilation, norm)
    return plainly(functional.local_distance_backward, given, *options, stride=stride, padding=padding)


@_local_distance_backward.register_fake
def _(
    grad: Tensor,
    embeddings: Tensor,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    norm: str,
) -> Tensor:
    return empty(embeddings)


def _keep_distance(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    embeddings, *ctx.options = inputs[:6]
    ctx.save_for_backward(embeddings)


def _distance_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return (torch.ops.segcaffe.local_distance_backward(grad, *ctx.saved_tensors, *ctx.options), *[None] * 7)


_local_distance.register_autograd(_distance_gradients, setup_context=_keep_distance)


@operator("local_parity")
def _local_parity(
    labels: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ignore_label: int | None
) -> Tensor:
    options: dict[str, Any] = {"stride": stride, "padding": padding, "ignore_label": ignore_label}
    return plainly(functional.local_parity, (labels,), kernel_size, dilation, **options)


@_local_parity.register_fake
def _(
    labels: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ignore_label: int | None
) -> Tensor:
    size = positions(labels.shape[2:], kernel_size, stride, padding, dilation)
    return labels.new_empty((labels.shape[0], kernel_size[0] * kernel_size[1], *size))


@operator("masked_conv2d")
def _masked_conv2d(
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    return plainly(functional.masked_conv2d, (x, mask, weight, bias), stride, padding, dilation, groups)


@_masked_conv2d.register_fake
def _(
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    size = positions(x.shape[2:], list(weight.shape[2:]), stride, padding, dilation)
    return x.new_empty((x.shape[0], weight.shape[0], *size))


@operator("masked_conv2d_backward")
def _masked_conv2d_backward(
    grad: Tensor,
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sizes,
    groups: int,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``sizes``: stride, padding and dilation, two numbers each; what is not needed has no elements."""
    given, window = (grad, x, mask, weight, bias), (sizes[:2], sizes[2:4], sizes[4:])
    found = plainly(functional.masked_conv2d_backward, given, *window, groups, needs=needs)
    a, b, c, d = (empty(x, needed=False) if one is None else one for one in found)
    return a, b, c, d


@_masked_conv2d_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sizes,
    groups: int,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_bias = empty(x, needed=False) if bias is None else empty(bias, needs[3])
    return empty(x, needs[0]), empty(mask, needs[1]), empty(weight, needs[2]), of_bias


def _keep_masked(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    stride, padding, dilation, ctx.groups = inputs[4:]
    ctx.sizes = [*stride, *padding, *dilation]
    ctx.save_for_backward(*inputs[:4])


def _masked_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    needs = list(ctx.needs_input_grad[:4])
    found = torch.ops.segcaffe.masked_conv2d_backward(grad, *ctx.saved_tensors, ctx.sizes, ctx.groups, needs)
    return (*(one if needed else None for one, needed in zip(found, needs, strict=True)), *[None] * 4)


_masked_conv2d.register_autograd(_masked_gradients, setup_context=_keep_masked)
