"""A model of PyTorch made segmentation-aware: its convolutions see their windows through masks."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from segcaffe.torch.modules import SegAwareConv2d
from segcaffe.torch.operators import Norm


class _Guided(nn.Module):
    """Stands in a model where a convolution stood, which takes its input alone; the embeddings come from outside."""

    def __init__(self, conv: SegAwareConv2d) -> None:
        super().__init__()
        self.conv = conv
        self.embeddings: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        assert self.embeddings is not None, "a part of a segmentation-aware model runs within the model only"
        result: Tensor = self.conv(x, self.embeddings)
        return result


class SegAware(nn.Module):
    """A model whose chosen convolutions are masked, and what makes the embeddings for it.

    ``forward(x)`` gives what ``model(x)`` gave. Parameters of the model keep their objects; names of masked
    convolutions have ``.conv`` in front of their last part.
    """

    def __init__(self, model: nn.Module, embeddings: nn.Module) -> None:
        super().__init__()
        self.model, self.embeddings = model, embeddings

    def forward(self, x: Tensor, *others: Any) -> Any:
        """Make the embeddings of ``x`` (N, C, H, W), then run the model."""
        made = self.embeddings(x)
        guided = [part for part in self.model.modules() if isinstance(part, _Guided)]
        for part in guided:
            part.embeddings = made
        try:
            return self.model(x, *others)
        finally:
            for part in guided:
                part.embeddings = None

    def scales(self) -> dict[str, float]:
        """λ of each masked convolution, by its name in the model."""
        found = {name: part for name, part in self.model.named_modules() if isinstance(part, _Guided)}
        return {name: float(part.conv.scale.detach()) for name, part in found.items()}


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
        A pattern matches no convolution that can be masked.

    Source: Harley et al. 2017, section 3.2.
    """
    for name, module in (("model", model), ("embeddings", embeddings)):
        if not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module. Received: {type(module).__name__}.")
    patterns = [layers] if isinstance(layers, str) else list(layers)
    convs = {name: part for name, part in model.named_modules() if _can_be_masked(part)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in convs):
            names = ", ".join(convs) or "none"
            raise ValueError(
                f'No convolution larger than one tap is called "{pattern}". Those that can be masked: {names}.'
            )
    for name, conv in convs.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, _Guided(SegAwareConv2d.of(conv, norm, scale, learn_scale)))
    return SegAware(model, embeddings)


def _can_be_masked(part: nn.Module) -> bool:
    plain = type(part) is nn.Conv2d and part.padding_mode == "zeros"
    return plain and max(part.kernel_size) > 1 and not isinstance(part.weight, nn.parameter.UninitializedParameter)
