"""A model of PyTorch made segmentation-aware: its convolutions see their windows through masks."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from segcaffe.torch.modules import SegAwareConv2d
from segcaffe.torch.operators import Norm


class _Guided(SegAwareConv2d):
    """Stands in a model where a convolution stood, which takes its input alone; the embeddings come from outside."""

    made: Tensor | None = None

    def forward(self, x: Tensor, embeddings: Tensor | None = None) -> Tensor:
        given = self.made if embeddings is None else embeddings
        if given is None:
            raise RuntimeError(
                "this convolution has been given no embeddings. Call what segawarify returned, which makes them, in "
                "place of the model inside it; checkpoint activations of the whole, not within it."
            )
        return super().forward(x, given)


class SegAware(nn.Module):
    """A model whose chosen convolutions are masked, and what makes the embeddings for it.

    ``forward(x)`` gives what ``model(x)`` gave. Parameters of ``self.model`` keep their objects and names, so that it
    loads what was saved of the model before, with ``strict=False`` for the λ, called ``scale``, beside each weight.
    """

    def __init__(self, model: nn.Module, embeddings: nn.Module) -> None:
        super().__init__()
        self.model, self.embeddings = model, embeddings

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Any:
        """Make the embeddings of ``x`` (N, C, H, W), then run the model on all that is given."""
        made = self.embeddings(x)
        guided = [part for part in self.model.modules() if isinstance(part, _Guided)]
        for part in guided:
            part.made = made
        try:
            return self.model(x, *others, **named)
        finally:
            for part in guided:
                part.made = None

    def scales(self) -> dict[str, float]:
        """λ of each masked convolution, by its name in the model."""
        found = {name: part for name, part in self.model.named_modules() if isinstance(part, _Guided)}
        return {name: float(part.scale.detach()) for name, part in found.items()}


def segawarify(
    model: nn.Module,
    embeddings: nn.Module,
    layers: str | Sequence[str] = "*",
    norm: Norm = "l1",
    scale: float = 1.0,
    learn_scale: bool = True,
) -> SegAware:
    """Put masks before the convolutions of a model, in place; at ``scale`` 0 it computes what it did.

    Parameters
    ----------
    model:
        Its ``torch.nn.Conv2d``s larger than one tap, of the names that ``layers`` matches, become `SegAwareConv2d`s.
        Left alone are subclasses (parametrizations, such as weight_norm, make some), those that do not pad with
        zeros or pad opposite sides differently, and those whose weight is no parameter or not yet there.
    embeddings:
        Makes embeddings (N, E, h, w) of the model's input (N, C, H, W); ``torch.nn.Identity()`` takes the colours.
    layers:
        Patterns of names as ``named_modules`` has them: "*", "layer4.*", ["conv3", "conv4"].
    norm, scale, learn_scale:
        As of `SegAwareConv2d`.

    Raises
    ------
    TypeError
        The model, or what makes embeddings, is no module.
    ValueError
        A pattern matches no convolution that can be masked, or one with hooks, which would be lost.

    Source: Harley et al. 2017, section 3.2.
    """
    for name, module in (("model", model), ("embeddings", embeddings)):
        if not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module. Received: {type(module).__name__}.")
    patterns = [layers] if isinstance(layers, str) else list(layers)
    convs = {name: part for name, part in model.named_modules(remove_duplicate=False) if _can_be_masked(part)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in convs):
            names = ", ".join(convs) or "none"
            raise ValueError(
                f'No convolution larger than one tap is called "{pattern}". Those that can be masked: {names}.'
            )
    chosen = {name: conv for name, conv in convs.items() if any(fnmatchcase(name, one) for one in patterns)}
    for name, conv in chosen.items():
        if conv._forward_hooks or conv._forward_pre_hooks or conv._backward_hooks or conv._backward_pre_hooks:
            raise ValueError(f'The convolution "{name}" has hooks, which would be lost. Register them afterwards.')
    # A convolution that stands in several places becomes one that does.
    masked = {id(conv): _Guided.of(conv, norm, scale, learn_scale) for conv in chosen.values()}
    for name, conv in chosen.items():
        if name:
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, masked[id(conv)])
        else:
            model = masked[id(conv)]
    return SegAware(model, embeddings)


def _can_be_masked(part: nn.Module) -> bool:
    if type(part) is not nn.Conv2d or part.padding_mode != "zeros" or max(part.kernel_size) == 1:
        return False
    if part.padding == "same" and not all(size % 2 for size in part.kernel_size):
        return False
    return type(part.weight) is nn.Parameter
