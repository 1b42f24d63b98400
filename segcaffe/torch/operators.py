"""`segcaffe.functional` as operators of PyTorch: with gradients, shapes for the compiler, float32 in autocast.

Each is declared once, with its gradient as a second operator, so that ``torch.compile`` needs to look into neither. The
functions that users call fill in what may be left out, as `segcaffe.functional` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from segcaffe import functional
from segcaffe.functional.windows import window

Size = int | Sequence[int]
Norm = Literal["l1", "l2"]
Sizes = list[int]
_DEVICES = ("cpu", "cuda")


def local_distance(
    embeddings: Tensor,
    kernel_size: Size,
    dilation: Size = 1,
    norm: Norm = "l2",
    *,
    stride: Size = 1,
    padding: Size | Literal["same"] = "same",
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> Tensor:
    """`segcaffe.functional.local_distance` with gradients: (N, E, H, W) becomes (N, kh·kw, H', W')."""
    sizes = _window("local_distance", kernel_size, stride, padding, dilation)
    return torch.ops.segcaffe.local_distance(embeddings, *sizes, norm, remove_center, remove_bounds)


def local_parity(
    labels: Tensor,
    kernel_size: Size,
    dilation: Size = 1,
    *,
    stride: Size = 1,
    padding: Size | Literal["same"] = "same",
    ignore_label: int | None = None,
) -> Tensor:
    """`segcaffe.functional.local_parity`: labels (N, 1, H, W), of any dtype, become (N, kh·kw, H', W'), float32."""
    sizes = _window("local_parity", kernel_size, stride, padding, dilation)
    return torch.ops.segcaffe.local_parity(labels.float(), *sizes, ignore_label)


def masked_conv2d(
    x: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | Literal["same"] = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """`segcaffe.functional.masked_conv2d` with gradients of all that it is given."""
    _, *sizes = _window("masked_conv2d", list(weight.shape[2:]), stride, padding, dilation)
    return torch.ops.segcaffe.masked_conv2d(x, mask, weight, bias, *sizes, groups)


def norm_conv2d(
    x: Tensor,
    embeddings: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | float = 1.0,
    stride: Size = 1,
    padding: Size | Literal["same"] = 0,
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
    options = float(scale), iterations, remove_center, remove_bounds
    return torch.ops.segcaffe.local_meanfield(unary, guide, *matrices, kernel, far, *options)


def _window(name: str, kernel_size: Size, stride: Size, padding: Any, dilation: Size) -> list[Sizes]:
    """Kernel size, stride, padding and dilation, each (height, width). Raises ShapeError."""
    view = window(name, kernel_size, stride, padding, dilation)
    return [list(view.kernel), list(view.stride), list(view.pad), list(view.dilation)]


def _positions(size: Sequence[Any], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> list[Any]:
    """How many windows fit on each axis; ``size`` may hold the compiler's symbols."""
    every = zip(size, kernel, stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in every]


def _operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare an operator, which writes to nothing that it is given and computes in float32 in autocast."""

    def declare(function: Callable[..., Any]) -> Any:
        made = torch.library.custom_op(f"segcaffe::{name}", function, mutates_args=())
        for device in _DEVICES:
            made.register_autocast(device, torch.float32)
        return made

    return declare


def _plainly(function: Callable[..., Any], tensors: Sequence[Tensor | None], *options: Any, **named: Any) -> Any:
    """Call a function on arrays with tensors that ask for no gradient."""
    return function(*(None if one is None else one.detach() for one in tensors), *options, **named)


def _empty(like: Tensor, needed: bool = True) -> Tensor:
    """A tensor for a gradient: operators return no None, so one that is not needed has no elements."""
    return like.new_empty(like.shape if needed else (0,))


@_operator("local_distance")
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
    return _plainly(functional.local_distance, (embeddings,), kernel_size, dilation, norm, padding=padding, **options)


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
    positions = _positions(embeddings.shape[2:], kernel_size, stride, padding, dilation)
    return embeddings.new_empty((embeddings.shape[0], kernel_size[0] * kernel_size[1], *positions))


@_operator("local_distance_backward")
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
    return _plainly(functional.local_distance_backward, given, *options, stride=stride, padding=padding)


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
    return _empty(embeddings)


def _keep_distance(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    embeddings, *ctx.options = inputs[:6]
    ctx.save_for_backward(embeddings)


def _distance_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return (torch.ops.segcaffe.local_distance_backward(grad, *ctx.saved_tensors, *ctx.options), *[None] * 7)


_local_distance.register_autograd(_distance_gradients, setup_context=_keep_distance)


@_operator("local_parity")
def _local_parity(
    labels: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ignore_label: int | None
) -> Tensor:
    options: dict[str, Any] = {"stride": stride, "padding": padding, "ignore_label": ignore_label}
    return _plainly(functional.local_parity, (labels,), kernel_size, dilation, **options)


@_local_parity.register_fake
def _(
    labels: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ignore_label: int | None
) -> Tensor:
    positions = _positions(labels.shape[2:], kernel_size, stride, padding, dilation)
    return labels.new_empty((labels.shape[0], kernel_size[0] * kernel_size[1], *positions))


@_operator("masked_conv2d")
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
    return _plainly(functional.masked_conv2d, (x, mask, weight, bias), stride, padding, dilation, groups)


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
    positions = _positions(x.shape[2:], list(weight.shape[2:]), stride, padding, dilation)
    return x.new_empty((x.shape[0], weight.shape[0], *positions))


@_operator("masked_conv2d_backward")
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
    found = _plainly(functional.masked_conv2d_backward, given, *window, groups, needs=needs)
    a, b, c, d = (_empty(x, needed=False) if one is None else one for one in found)
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
    of_bias = _empty(x, needed=False) if bias is None else _empty(bias, needs[3])
    return _empty(x, needs[0]), _empty(mask, needs[1]), _empty(weight, needs[2]), of_bias


def _keep_masked(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    stride, padding, dilation, ctx.groups = inputs[4:]
    ctx.sizes = [*stride, *padding, *dilation]
    ctx.save_for_backward(*inputs[:4])


def _masked_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    needs = list(ctx.needs_input_grad[:4])
    found = torch.ops.segcaffe.masked_conv2d_backward(grad, *ctx.saved_tensors, ctx.sizes, ctx.groups, needs)
    return (*(one if needed else None for one, needed in zip(found, needs, strict=True)), *[None] * 4)


_masked_conv2d.register_autograd(_masked_gradients, setup_context=_keep_masked)


@_operator("local_meanfield")
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
    return _plainly(functional.local_meanfield, given, scale=scale, **options, **removed)


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
    return _empty(unary)


@_operator("local_meanfield_backward")
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
    a, b, c, d = _plainly(functional.local_meanfield_backward, given, scale=scale, **options, **removed)
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
    return _empty(unary), _empty(guide), _empty(weight), _empty(compat)


def _keep_meanfield(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.options = inputs[4:]
    ctx.save_for_backward(*inputs[:4])


def _meanfield_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    found = torch.ops.segcaffe.local_meanfield_backward(grad, *ctx.saved_tensors, *ctx.options)
    return (*found, *[None] * 6)


_local_meanfield.register_autograd(_meanfield_gradients, setup_context=_keep_meanfield)
