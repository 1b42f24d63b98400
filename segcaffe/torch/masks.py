"""Operators of masks and masked convolution, each with its gradient as a second operator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from segcaffe import functional
from segcaffe.torch import transforms
from segcaffe.torch.declare import Sizes, differentiate, like, operator, plainly, positions, register_gradient


def _taps(images: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, *options: Any) -> Tensor:
    """A value for each tap of each window."""
    size = positions(images.shape[2:], kernel_size, stride, padding, dilation)
    return images.new_empty((images.shape[0], kernel_size[0] * kernel_size[1], *size))


def _convolved(x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *window: Any) -> Tensor:
    stride, padding, dilation = window[:3]
    size = positions(x.shape[2:], list(weight.shape[2:]), stride, padding, dilation)
    return x.new_empty((x.shape[0], weight.shape[0], *size))


def _needed(grad: Tensor, x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Any:
    """Gradients that are needed; the others have no elements, since operators return no None."""
    needs = options[-1]
    given = x, mask, weight, x if bias is None else bias
    wanted = (*needs[:3], needs[3] and bias is not None)
    return tuple(one.new_empty(one.shape if needed else (0,)) for one, needed in zip(given, wanted, strict=True))


@operator("local_distance", _taps)
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


@operator("local_distance_backward", like(1))
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


differentiate("local_distance", _local_distance, tensors=1, passed=5)


@operator("local_parity", _taps)
def _local_parity(
    labels: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ignore_label: int | None
) -> Tensor:
    options: dict[str, Any] = {"stride": stride, "padding": padding, "ignore_label": ignore_label}
    return plainly(functional.local_parity, (labels,), kernel_size, dilation, **options)


@operator("masked_conv2d", _convolved)
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


@operator("masked_conv2d_backward", _needed)
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
    a, b, c, d = (x.new_empty(0) if one is None else one for one in found)
    return a, b, c, d


def _keep_masked(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    stride, padding, dilation, ctx.groups = inputs[4:]
    ctx.sizes = [*stride, *padding, *dilation]
    ctx.save_for_backward(*inputs[:4])


def _masked_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    needs = list(ctx.needs_input_grad[:4])
    found = transforms.run("masked_conv2d_backward", grad, *ctx.saved_tensors, ctx.sizes, ctx.groups, needs)
    return (*(one if needed else None for one, needed in zip(found, needs, strict=True)), *[None] * 4)


register_gradient("masked_conv2d", _masked_conv2d, _keep_masked, _masked_gradients)
