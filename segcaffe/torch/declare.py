"""Declaring operators of PyTorch: custom ones, whose shapes the compiler knows, computing in float32 in autocast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Sizes = list[int]
_DEVICES = ("cpu", "cuda")


def positions(size: Sequence[Any], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> list[Any]:
    """How many windows fit on each axis; ``size`` may hold the compiler's symbols."""
    every = zip(size, kernel, stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in every]


def operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare an operator, which writes to nothing that it is given and computes in float32 in autocast."""

    def declare(function: Callable[..., Any]) -> Any:
        made = torch.library.custom_op(f"segcaffe::{name}", function, mutates_args=())
        for device in _DEVICES:
            made.register_autocast(device, torch.float32)
        return made

    return declare


def plainly(function: Callable[..., Any], tensors: Sequence[Tensor | None], *options: Any, **named: Any) -> Any:
    """Call a function on arrays with tensors that ask for no gradient."""
    return function(*(None if one is None else one.detach() for one in tensors), *options, **named)


def empty(like: Tensor, needed: bool = True) -> Tensor:
    """A tensor for a gradient: operators return no None, so one that is not needed has no elements."""
    return like.new_empty(like.shape if needed else (0,))


def keep_tensors(count: int) -> Callable[[Any, tuple[Any, ...], Tensor], None]:
    """Keep the first ``count`` inputs, which are tensors, and the options behind them."""

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.options = inputs[count:]
        ctx.save_for_backward(*inputs[:count])

    return keep
