"""What an operator of PyTorch keeps for its gradient that is no tensor.

An operator takes and gives tensors alone; so the function that calls it offers a place, which the operator and the
setting up of its gradient find in the same thread. While a compiler traces, nothing is offered, and the gradient's
operator computes everything again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segcaffe.functional import Kept
from segcaffe.torch import transforms
from segcaffe.torch.declare import register_gradient


class _Offer(threading.local):
    kept: Kept | None = None


_offer = _Offer()


def call(name: str, tensors: tuple[Tensor, ...], *options: Any) -> Any:
    """Call an operator, with a place to keep things where a gradient will be wanted."""
    if torch.compiler.is_compiling() or transforms.transformed(tensors):
        return transforms.run(name, *tensors, *options)
    wanted = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
    _offer.kept = Kept() if wanted else None
    try:
        return getattr(torch.ops.segcaffe, name)(*tensors, *options)
    finally:
        _offer.kept = None


def offered() -> Kept | None:
    """The place that the operator's caller offers, if it does."""
    return _offer.kept


def differentiate(name: str, made: Any, function: Callable[..., Any], tensors: int, to: tuple[int, ...] = ()) -> None:
    """Give an operator its gradient, `declare.differentiate`, that uses what was kept.

    Parameters
    ----------
    name, made, tensors, to:
        As there.
    function:
        What NAME_backward does, with ``keep`` beside; it makes one gradient for each of ``to``.
    """

    def hold(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.inputs, ctx.options, ctx.kept = len(inputs), inputs[tensors:], offered()
        ctx.save_for_backward(*inputs[:tensors])

    def gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        # A gradient that is to have one itself goes by the operator, whose error says that there is none.
        if ctx.kept is None or torch.is_grad_enabled():
            found = transforms.run(f"{name}_backward", grad, *ctx.saved_tensors, *ctx.options)
        else:
            found = function(grad, *ctx.saved_tensors, *ctx.options, keep=ctx.kept)
        by_place = dict(zip(to or range(tensors), found, strict=True))
        return tuple(map(by_place.get, range(ctx.inputs)))

    register_gradient(name, made, hold, gradients)
