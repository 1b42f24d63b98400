"""A net as the checks look at it: its layers in one phase, where each stands, and what is known without arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from segcaffe.errors import Place
from segcaffe.graph.rules import includes, net_state
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import find_class
from segcaffe.proto.caffe_pb2 import LayerParameter, NetState, ParamSpec
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import read_net_sketch

Variables = Mapping[str, str] | None


@dataclass
class Subject:
    """A net in one phase.

    Attributes
    ----------
    path, phase:
        Its file; TRAIN or TEST.
    layers, places:
        Its layers in that phase, old notations upgraded; where each stands.
    unset:
        Template names without a value. Where they stand for numbers, the layers have ones.
    """

    path: Path
    phase: int
    layers: list[LayerParameter]
    places: list[Place | None]
    unset: list[str]

    @classmethod
    def read(cls, path: str | Path, phase: int, variables: Variables = None, stages: Sequence[str] = ()) -> Subject:
        """Read a net's file; PrototxtError if it cannot be."""
        net, unset = read_net_sketch(path, variables)
        return cls.of(net, Path(path), net_state(phase, stages=stages), unset)

    @classmethod
    def of(cls, net: PlacedNet, path: Path, state: NetState, unset: Sequence[str] = ()) -> Subject:
        """Take the layers that a net has in a state."""
        layers = zip(net.message.layer, net.places, strict=True)
        kept = [(layer, place) for layer, place in layers if includes(layer, state)]
        return cls(path, state.phase, [layer for layer, _ in kept], [place for _, place in kept], list(unset))

    def where(self, layer: LayerParameter) -> str:
        """How findings name a layer: file, line, name and type."""
        index = next(i for i, other in enumerate(self.layers) if other is layer)
        return f'{self.places[index] or self.path}: layer "{layer.name}" ({layer.type})'

    def of_type(self, *types: str) -> Iterator[LayerParameter]:
        """Layers of these types, in order."""
        return (layer for layer in self.layers if layer.type in types)

    @cached_property
    def sources(self) -> list[LayerParameter]:
        """Layers that bring values into the net."""
        return [layer for layer in self.layers if class_of(layer).source]

    @cached_property
    def batch(self) -> int | None:
        """Number of images in a batch; None where it is not known, or a template's."""
        sizes = [size for layer in self.sources if (size := _batch_size(layer)) is not None]
        return sizes[0] if sizes and not self.unset else None

    def makers(self) -> dict[str, LayerParameter]:
        """The layer that makes each blob last."""
        return {top: layer for layer in self.layers for top in layer.top}


def _batch_size(layer: LayerParameter) -> int | None:
    for field, option in layer.ListFields():
        if field.message_type is None or field.is_repeated:
            continue
        if "batch_size" in field.message_type.fields_by_name and option.HasField("batch_size"):
            return int(option.batch_size)
    shapes = layer.input_param.shape or layer.dummy_data_param.shape
    return int(shapes[0].dim[0]) if shapes and shapes[0].dim else None


def class_of(layer: LayerParameter) -> type[Layer]:
    """The class of a layer, `Layer` where no such type is known."""
    return find_class(layer.type)


def blob_count(layer: LayerParameter) -> int:
    """Number of blobs that the layer has."""
    return class_of(layer).parameter_count(layer, len(layer.bottom))


def parameter_count(layer: LayerParameter) -> int:
    """Number of blobs that the layer learns (statistics of BatchNorm are none)."""
    return 0 if class_of(layer).statistics else blob_count(layer)


def rates(layer: LayerParameter) -> list[float]:
    """lr_mult of each blob the layer learns."""
    specs = [*layer.param, *(ParamSpec() for _ in range(parameter_count(layer) - len(layer.param)))]
    return [spec.lr_mult for spec in specs[: parameter_count(layer)]]


def learns(layer: LayerParameter) -> bool:
    """Whether any blob of the layer has a learning rate."""
    return any(rates(layer))
