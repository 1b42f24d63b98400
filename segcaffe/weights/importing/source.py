"""What a file of another framework holds: tensors, joined to the modules that own them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
_ROLE = re.compile(r"weight|bias|running_mean|running_var|(weight|bias)_[ih]h_l\d+")
_PARTS = {"output": "weight_h", "weights": "compatibility"}
"""Parts of modules, and a tensor by which these are known."""
_BIAS = "_bias"
COUNTER = "num_batches_tracked"
"""What a BatchNorm of PyTorch counts besides; no weights."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes
    ----------
    name:
        As the file has it.
    values:
        Of float32 or float64.
    stored:
        The type that it has in the file, as "float16".
    turned:
        Whether its last two axes are inputs, outputs, in that order (the matrix of ONNX's MatMul).
    operator:
        The operator of ONNX that reads it; empty in files of PyTorch.
    """

    name: str
    values: Array
    stored: str = "float32"
    turned: bool = False
    operator: str = ""

    @property
    def shape(self) -> Shape:
        """Extents."""
        return tuple(self.values.shape)


@dataclass
class Module:
    """Tensors that belong together, such as ``features.0.weight`` and ``features.0.bias``.

    Attributes
    ----------
    name:
        What their names have in common.
    tensors:
        By role: weight, bias, running_mean, running_var, or what else stands behind the module's name.
    """

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A file's modules, in the file's order.

    Attributes
    ----------
    ordered:
        Whether that is the order in which somebody made or runs them, rather than that of their names.
    left_out:
        Tensors that are no weights, by name, and why.
    """

    modules: tuple[Module, ...]
    ordered: bool
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by their names."""
        return {tensor.name: tensor for module in self.modules for tensor in module.tensors.values()}


def by_name(tensors: Iterable[Tensor]) -> tuple[Module, ...]:
    """Join tensors to modules by their names: what stands before the last point, or slash.

    Names without one are roles where they are those of PyTorch's, as in the state dict of a module by itself.
    """
    found: dict[str, Module] = {}
    for tensor in tensors:
        place = max(tensor.name.rfind("."), tensor.name.rfind("/"))
        if place > 0:
            owner, role = tensor.name[:place], tensor.name[place + 1 :]
        else:
            owner, role = ("", tensor.name) if _ROLE.fullmatch(tensor.name) else (tensor.name, "weight")
        found.setdefault(owner, Module(owner)).tensors[role] = tensor
    return tuple(_joined(found))


def _joined(modules: Mapping[str, Module]) -> Iterable[Module]:
    """The modules, with those tensors of segcaffe's exports that have names of their own with the others."""
    for name, module in modules.items():
        owner, _, last = name.rpartition(".")
        main, biased = modules.get(owner), modules.get(name.removesuffix(_BIAS))
        if main is not None and _PARTS.get(last, "") in main.tensors:
            # What a recurrent layer makes its outputs with, and a mean field's weights.
            for role, tensor in module.tensors.items():
                main.tensors[f"{last}.{role}"] = tensor
        elif biased is not None and biased is not module and set(biased.tensors) == set(module.tensors) == {"weight"}:
            biased.tensors["bias"] = module.tensors["weight"]
        else:
            yield module
