"""Declaring operators of PyTorch: custom ones, whose shapes the compiler knows, computing in float32 in autocast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from segcaffe.errors import ShapeError
from segcaffe.torch import transforms

Sizes = list[int]
Function = Callable[..., Any]
_DEVICES = ("cpu", "cuda")
_HALVES = (torch.float16, torch.bfloat16)


def operator(name: str, shape: Function) -> Callable[[Function], Any]:
    """Decorator that declares an operator: it writes to nothing that it is given, and takes float32 in autocast.

    Parameters
    ----------
    name:
        Under ``torch.ops.segcaffe``.
    shape:
        Makes empty results of what the operator is given, some of whose extents may be the compiler's symbols.
    """

    def declare(function: Function) -> Any:
        made = torch.library.custom_op(f"segcaffe::{name}", function, mutates_args=())
        made.register_fake(shape)
        for device in _DEVICES:
            made.register_autocast(device, torch.float32)
        if hasattr(made, "register_vmap"):  # since PyTorch 2.5
            made.register_vmap(transforms.one_by_one(made))
        transforms.declare(name, made)
        return made

    return declare


def like(*places: int) -> Function:
    """The `shape` of an operator whose results are sized as the inputs at these places, whatever their strides."""

    def shape(*inputs: Any) -> Any:
        made = tuple(inputs[place].new_empty(inputs[place].shape) for place in places)
        return made if len(made) > 1 else made[0]

    return shape


def differentiate(name: str, made: Any, tensors: int, to: Sequence[int] = (), passed: int | None = None) -> None:
    """Give an operator its gradient, by the operator NAME_backward.

    Parameters
    ----------
    name, made:
        The operator; its first ``tensors`` inputs are tensors, the others options. NAME_backward takes the gradient of
        the result, the tensors and the first ``passed`` options (all unless told), and makes the gradients.
    to:
        Of which inputs these are; of all tensors unless told.
    """

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.inputs, ctx.options = len(inputs), inputs[tensors:][:passed]
        ctx.save_for_backward(*inputs[:tensors])

    def gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        found = transforms.run(f"{name}_backward", grad, *ctx.saved_tensors, *ctx.options)
        places = to or range(tensors)
        by_place = dict(zip(places, found if isinstance(found, tuple) else (found,), strict=True))
        return tuple(map(by_place.get, range(ctx.inputs)))

    register_gradient(name, made, keep, gradients)


def register_gradient(name: str, made: Any, keep: Function, gradients: Function) -> None:
    """Give an operator its gradient, everywhere: ``keep`` and ``gradients`` are as ``torch.library`` takes them."""
    made.register_autograd(gradients, setup_context=keep)
    transforms.declare(name, made, keep, gradients)


def plainly(function: Function, tensors: Sequence[Tensor | None], *options: Any, **named: Any) -> Any:
    """Call a function on arrays with tensors that ask for no gradient. Raises ShapeError for half precision."""
    halves = sorted({str(one.dtype) for one in tensors if one is not None and one.dtype in _HALVES})
    if halves:
        raise ShapeError(
            f"{function.__name__}: all tensors must be float32, or all float64. Received: {', '.join(halves)}. "
            "torch.autocast brings tensors of half precision to float32 here; outside it call .float() on them."
        )
    return function(*(None if one is None else one.detach() for one in tensors), *options, **named)


def positions(size: Sequence[Any], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> list[Any]:
    """How many windows fit on each axis; ``size`` may hold the compiler's symbols."""
    every = zip(size, kernel, stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in every]
