"""Operators within `torch.func`'s transforms and in forward mode, where PyTorch's own way with custom operators ends.

For each custom operator `torch.library` makes an autograd function that `torch.func.grad` refuses, and that forward
mode (`torch.func.jvp`, `torch.autograd.forward_ad`) passes by where no input asks for a gradient: derivatives are zeros
then, without a word. So each operator has a second autograd function here, which is called in these cases alone:
transforms take it, and forward mode is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_functions: dict[str, Any] = {}


def declare(
    name: str, made: Any, keep: Callable[..., None] | None = None, gradients: Callable[..., Any] | None = None
) -> None:
    """Make the second function of an operator.

    Parameters
    ----------
    name, made:
        The operator, under ``torch.ops.segcaffe``.
    keep, gradients:
        As ``torch.library.register_autograd`` takes them; None for an operator without a gradient.
    """

    def backward(ctx: Any, *grads: Tensor) -> Any:
        if gradients is None:
            raise RuntimeError(f"segcaffe.{name} has no gradient of its own: gradients of gradients are not there.")
        return gradients(ctx, *grads)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if keep is not None:
            keep(ctx, inputs, output)

    def forward(*inputs: Any) -> Any:
        return made(*inputs)

    body = {"forward": forward, "setup_context": setup_context, "backward": backward, "jvp": _no_forward_mode}
    methods: dict[str, Any] = {what: staticmethod(function) for what, function in body.items()}
    _functions[name] = type(name, (torch.autograd.Function,), {**methods, "generate_vmap_rule": True})


def run(name: str, *inputs: Any) -> Any:
    """Call an operator: itself, or its second function where a transform or forward mode is at work."""
    if not torch.compiler.is_compiling() and transformed(inputs):
        return _functions[name].apply(*inputs)
    return getattr(torch.ops.segcaffe, name)(*inputs)


def transformed(inputs: tuple[Any, ...]) -> bool:
    """Whether a transform of `torch.func` is at work, or an input has a derivative of forward mode."""
    if torch._C._are_functorch_transforms_active():
        return True
    return any(isinstance(one, Tensor) and forward_ad.unpack_dual(one).tangent is not None for one in inputs)


def one_by_one(made: Any) -> Callable[..., Any]:
    """The rule of `torch.func.vmap` for an operator: call it for each, since its kernels are parallel themselves."""

    def rule(info: Any, places: tuple[Any, ...], *inputs: Any) -> Any:
        def of(index: int) -> Any:
            pairs = zip(inputs, places, strict=True)
            return made(*(one.select(at, index) if isinstance(at, int) else one for one, at in pairs))

        found = [of(index) for index in range(info.batch_size)]
        if isinstance(found[0], Tensor):
            return torch.stack(found), 0
        return tuple(map(torch.stack, zip(*found, strict=True))), (0,) * len(found[0])

    return rule


def _no_forward_mode(ctx: Any, *tangents: Any) -> Any:
    raise NotImplementedError(
        "segcaffe's operators have no derivatives in forward mode (torch.func.jvp, jacfwd, forward_ad). Use those of "
        "backward mode: torch.func.vjp, jacrev, torch.autograd.grad."
    )
