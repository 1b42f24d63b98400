"""Sizes of a net's blobs, found by setting it up without its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from segcaffe.errors import GraphError, SegcaffeError, about_layer
from segcaffe.graph.graph import where
from segcaffe.graph.rules import filter_net
from segcaffe.layers.registry import layer_class
from segcaffe.layers.source.base import SourceLayer
from segcaffe.net.net import Net
from segcaffe.predict.deploy import channels_by_weights
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter, NetState
from segcaffe.proto.placed import PlacedNet

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """What is known of sizes besides what the net says.

    Attributes
    ----------
    shapes:
        Shapes of blobs that data layers or inputs make.
    weights:
        Files of weights, which tell how many channels the first convolution takes.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    weights: tuple[NetParameter, ...] = ()


def shapes_in(net: PlacedNet, state: NetState, wanted: Set[str], known: Known) -> dict[str, Shape]:
    """Return the shapes of blobs and of all that leads to them, in a state; see `set_up`."""
    return {name: tuple(blob.shape) for name, blob in set_up(net, state, wanted, known).blobs.items()}


def set_up(net: PlacedNet, state: NetState, wanted: Set[str], known: Known, filled: Set[str] = frozenset()) -> Net:
    """Set up, in a state, the part of a net that blobs need, with inputs in place of its data layers.

    Parameters
    ----------
    net:
        The net with all its layers; nothing is read of what its data layers name unless their options leave open how
        large the images are.
    wanted:
        Names of blobs. Those that no layer makes in this state are not there.
    filled:
        Names of the layers whose parameters fillers make; those of others are 0.

    Raises
    ------
    GraphError
        A data layer's images could be of any size, or the part of the net cannot be set up.
    """
    part = _leading_to(filter_net(net, state), wanted, filled)
    layers = list(part.message.layer)
    del part.message.layer[:]
    guessed = guesses(layers, known)
    for layer, place in zip(layers, part.places, strict=True):
        with about_layer(layer.name, place):
            part.message.layer.append(_as_input(layer, layers, known))
    try:
        return Net(part, phase=state.phase, level=state.level, stages=list(state.stage), fuse=False)
    except SegcaffeError as error:
        if not guessed:
            raise
        raise GraphError(
            f"{error.text()} The shape of {' and '.join(guessed)} is a guess; say it: --shape {guessed[0]}=N,C,H,W.",
            layer=error.layer,
            place=error.place,
        ) from error


def guesses(layers: Sequence[LayerParameter], known: Known) -> list[str]:
    """Blobs that data layers make beside images, which are taken for labels, a number for each image."""
    data = [layer for layer in layers if layer.type != "Input" and brings_data(layer)]
    return [top for layer in data for top in layer.top[1:] if top not in known.shapes]


def image_of(layers: Sequence[LayerParameter]) -> str:
    """The blob of images: the first top of the first layer that brings data, or that fills blobs; "" if none does."""
    filling = [
        layer for layer in layers if layer.top and issubclass(layer_class(layer.type, where(layer)), SourceLayer)
    ]
    bringing = [layer for layer in layers if layer.top and brings_data(layer)]
    return next((layer.top[0] for layer in [*bringing, *filling]), "")


def made_of(layers: Sequence[LayerParameter], image: str) -> set[str]:
    """The blobs that are made of an image, and the image itself."""
    found = {image}
    for layer in layers:
        if found.intersection(layer.bottom):
            found.update(layer.top)
    return found


def brings_data(layer: LayerParameter) -> bool:
    """Whether a layer is an input or brings data into the net, as Python layers without bottoms do."""
    cls = layer_class(layer.type, where(layer))
    is_data = issubclass(cls, SourceLayer) and cls.data
    return is_data or layer.type == "Input" or (layer.type == "Python" and not layer.bottom)


def _leading_to(net: PlacedNet, wanted: Set[str], filled: Set[str]) -> PlacedNet:
    """The layers that the blobs need, without rules; parameters are 0 but for those of some layers."""
    needed, kept = set(wanted), []
    for i in reversed(range(len(net.places))):
        layer = net.message.layer[i]
        if needed.intersection(layer.top):
            kept.append(i)
            needed.update(layer.bottom)
    result = NetParameter(name=net.message.name)
    for i in reversed(kept):
        layer = result.layer.add()
        layer.CopyFrom(net.message.layer[i])
        for name in ("convolution_param", "inner_product_param"):
            if layer.HasField(name) and layer.name not in filled:
                for filler in ("weight_filler", "bias_filler"):
                    getattr(layer, name).ClearField(filler)
        for rules in ("blobs", "include", "exclude"):
            layer.ClearField(rules)
    return PlacedNet(result, [net.places[i] for i in reversed(kept)])


def _as_input(layer: LayerParameter, layers: Sequence[LayerParameter], known: Known) -> LayerParameter:
    """An input of the same size in place of a layer that brings data; other layers as they are."""
    if not brings_data(layer) or (layer.type == "Input" and known.shapes.keys().isdisjoint(layer.top)):
        return layer
    shapes = dict(known.shapes)
    if layer.type == "Input":
        stated = layer.input_param.shape
        for i, top in enumerate(layer.top):
            shapes.setdefault(top, tuple(stated[min(i, len(stated) - 1)].dim) if stated else ())
    elif layer.top[0] not in shapes:
        shapes.update(_data_shapes(layer, layers, known.weights))
    result = LayerParameter(name=layer.name, type="Input", top=layer.top)
    for top in layer.top:
        result.input_param.shape.add().dim.extend(shapes.get(top, (batch_of(layer),)))
    return result


def _data_shapes(
    layer: LayerParameter, layers: Sequence[LayerParameter], weights: Sequence[NetParameter]
) -> dict[str, Shape]:
    """What a data layer makes, by its options, or else by its data."""
    cls = layer_class(layer.type, where(layer))
    channels, height, width = cls.image_shape(layer) if issubclass(cls, SourceLayer) else (0, 0, 0)
    channels = channels or channels_by_weights(layers, layer.top[0], weights)
    if not (channels and height and width):
        try:
            return _read_shapes(layer)
        except SegcaffeError as error:
            if not (height and width):
                raise GraphError(
                    f"how large the images of {where(layer)} are is told neither by its options nor by its data "
                    f"({error.text().rstrip('.')}). Say it: --shape {layer.top[0]}=1,{channels or 3},HEIGHT,WIDTH."
                ) from error
    return {layer.top[0]: (batch_of(layer), channels or 3, height, width)}


def _read_shapes(layer: LayerParameter) -> dict[str, Shape]:
    """What a data layer makes of what it reads; that is given up again."""
    net = Net(NetParameter(layer=[layer]), phase=layer.phase)
    for part in net.layer_list:
        if isinstance(part, SourceLayer):
            part.close()
    return {name: tuple(blob.shape) for name, blob in net.blobs.items()}


def batch_of(layer: LayerParameter) -> int:
    """How many images a data layer's options ask for at a time, 1 if they do not say."""
    for option, value in layer.ListFields():
        if option.message_type is not None and not option.is_repeated and hasattr(value, "batch_size"):
            return max(1, int(value.batch_size))
    return 1
