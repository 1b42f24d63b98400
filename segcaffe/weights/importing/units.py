"""A net's parameters, joined to what another framework has as one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segcaffe.graph.graph import Graph
from segcaffe.layers.base import Layer
from segcaffe.weights.importing.source import Shape

_BY_TYPE = {
    "BatchNorm": ("running_mean", "running_var", "", "weight", "bias"),
    "Lstm": ("weight_x", "weight_h", "bias"),
    "Bias": ("bias",),
}
"""The roles of a type's parameters, where they are not weight and bias; of an empty one the value is known."""
_DEFAULTS = {"bias": 0.0, "output.bias": 0.0}
"""The values of parameters that a module of another framework may lack."""


@dataclass(frozen=True)
class Slot:
    """One parameter.

    Attributes
    ----------
    role:
        What modules call it; empty for one that has a value without them, `default`.
    default:
        The value where the module lacks the tensor; None where it must have it.
    """

    layer: Layer
    index: int
    role: str
    default: float | None = None

    @property
    def name(self) -> str:
        """``conv1/0``."""
        return f"{self.layer.name}/{self.index}"

    @property
    def shape(self) -> Shape:
        """Extents."""
        return self.layer.blobs[self.index].shape


@dataclass(frozen=True)
class Unit:
    """A layer's parameters; those of a BatchNorm with those of the Scale that follows it.

    Attributes
    ----------
    after:
        The number of the unit whose result this one takes, -1 where there is none or more than one.
    """

    slots: tuple[Slot, ...]
    after: int = -1

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers."""
        return tuple(dict.fromkeys(slot.layer for slot in self.slots))

    @property
    def of_channels(self) -> bool:
        """Whether each parameter has a value for each channel, and not more."""
        return all(sum(extent != 1 for extent in slot.shape) <= 1 for slot in self.slots)

    @property
    def name(self) -> str:
        """The layers' names for messages."""
        return " and ".join(layer.name for layer in self.layers)


def units(graph: Graph, layers: Sequence[Layer]) -> list[Unit]:
    """The units of a net, in the order in which they run; parameters that another layer owns are left out."""
    joined = {scale for i in range(len(layers)) for scale in _scale_behind(graph, layers, i)}
    found: list[Unit] = []
    numbers: dict[int, int] = {}
    seen: list[object] = []
    for i, layer in enumerate(layers):
        if i in joined:
            continue
        parts = [layer, *(layers[j] for j in _scale_behind(graph, layers, i))]
        slots = [slot for part in parts for slot in _slots(part, len(parts) > 1)]
        own = [slot for slot in slots if not any(_is_shared(slot, other) for other in seen)]
        seen += [slot.layer.blobs[slot.index] for slot in own]
        node = graph.nodes[i]
        before = numbers.get(node.bottoms[0], -1) if node.bottoms else -1
        if own:
            found.append(Unit(tuple(own), before))
            before = len(found) - 1
        for j in (i, *_scale_behind(graph, layers, i)):
            numbers.update(dict.fromkeys(graph.nodes[j].tops, before if own or len(node.bottoms) == 1 else -1))
    return found


def _is_shared(slot: Slot, other: object) -> bool:
    return bool(slot.layer.blobs[slot.index].shares_data_with(other))  # type: ignore[arg-type]


def _scale_behind(graph: Graph, layers: Sequence[Layer], index: int) -> list[int]:
    """The Scale that follows a BatchNorm without factors of its own, if it has parameters."""
    if layers[index].type != "BatchNorm" or len(layers[index].blobs) != 3:
        return []
    for j in range(index + 1, len(layers)):
        if set(graph.nodes[j].bottoms) & set(graph.nodes[index].tops):
            return [j] if layers[j].type == "Scale" and len(graph.nodes[j].bottoms) == 1 and layers[j].blobs else []
    return []


def _slots(layer: Layer, normalizes: bool) -> list[Slot]:
    """A layer's parameters; where it ``normalizes``, a Scale has factors of 1 if a module has none."""
    defaults: dict[str, float] = _DEFAULTS | ({"weight": 1.0} if normalizes else {})
    roles = _roles(layer)
    # Stored sums divided by 1 are the averages.
    return [
        Slot(layer, index, role, defaults.get(role) if role else 1.0)
        for index, role in zip(range(len(layer.blobs)), roles, strict=True)
    ]


def _roles(layer: Layer) -> list[str]:
    count = len(layer.blobs)
    if layer.type == "BN" and count == 4:
        return ["weight", "bias", "running_mean", "running_var"]
    if layer.type in ("LSTM", "RNN"):
        middle = ["weight_static"] if count in (4, 6) else []
        return ["weight_x", "bias", *middle, "weight_h", *(["output.weight", "output.bias"] if count > 4 else [])]
    if layer.type == "NormConv":
        options = layer.param.convolution_param.bias_term, layer.param.norm_conv_param.scale_term
        return ["weight", *(name for name, has in zip(("bias", "scale"), options, strict=True) if has)]
    if layer.type.endswith("Meanfield") and count > 1:
        return [*(f"weights.{i}" for i in range(count - 1)), "compatibility"]
    known = _BY_TYPE.get(layer.type, ("weight", "bias"))
    return [known[i] if i < len(known) else f"weight_{i}" for i in range(count)]
