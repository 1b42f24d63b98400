"""Any net file made ready for images: where its data layers were, there are inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segcaffe.blob.proto import shape_of
from segcaffe.data.mean import read_mean_pixel
from segcaffe.errors import GraphError, Place, about_layer
from segcaffe.graph.graph import where
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import layer_class
from segcaffe.layers.source.base import SourceLayer
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import ResizeParameter
from segcaffe.proto.encoding import to_native
from segcaffe.proto.placed import PlacedNet


@dataclass
class Deployed:
    """A net that takes one image.

    Attributes
    ----------
    net:
        The net, and where its layers stand.
    image:
        Name of the blob for the image, (1, C, H, W).
    image_size:
        Name of the blob for the image's height and width, (1, 1, 1, 2); empty if the net has none.
    mean, scale:
        What the net's data layer subtracted and multiplied by, or what its Input layer's ``transform_param`` says.
    stated:
        Whether the file says so: there is a layer that transforms images, or an Input layer with a
        ``transform_param``.
    crop:
        Height and width of the data layer's images, 0 where it does not say.
    channels:
        Of the images; 0 where the data layer does not say.
    resize:
        How images are brought to the net's size, where the file says it.
    """

    net: PlacedNet
    image: str = ""
    image_size: str = ""
    mean: list[float] = field(default_factory=list)
    scale: float = 1.0
    stated: bool = False
    crop: tuple[int, int] = (0, 0)
    channels: int = 0
    resize: ResizeParameter | None = None


def deploy(
    net: PlacedNet,
    level: int = 0,
    stages: Sequence[str] = (),
    weights: Sequence[caffe_pb2.NetParameter] = (),
) -> Deployed:
    """The part of a net that makes scores of an image, in phase TEST.

    A net with ``Input`` layers (a deploy file) stays as it is. In others, train and test files, the first data layer
    becomes an input; what needs labels (losses, accuracies) is left out, as are layers that write files. Where the
    data layer does not say how many channels its images have, the weights of the first convolution do.
    """
    whole = filter_net(net, net_state(caffe_pb2.TEST, level, stages))
    param, places = whole.message, list[Place | None]()
    deployed = Deployed(PlacedNet(param, places))
    layers = list(param.layer)
    del param.layer[:]
    missing: set[str] = set()
    for layer, place in zip(layers, whole.places, strict=True):
        with about_layer(layer.name, place):
            for kept in _deploy_layer(layer, layers, deployed, missing, weights):
                param.layer.append(kept)
                places.append(place)
    if not deployed.image:
        raise GraphError("the net has neither an Input layer nor a data layer, so no place for an image.")
    return deployed


def _deploy_layer(
    layer: caffe_pb2.LayerParameter,
    layers: Sequence[caffe_pb2.LayerParameter],
    deployed: Deployed,
    missing: set[str],
    weights: Sequence[caffe_pb2.NetParameter],
) -> Iterator[caffe_pb2.LayerParameter]:
    """What becomes of a layer: itself, an input, or nothing; the tops that nobody makes then are ``missing``."""
    cls = layer_class(layer.type, where(layer))
    if issubclass(cls, SourceLayer) and cls.data:
        inputs = [] if deployed.image else _take_source(cls, layer, deployed)
        missing.update(top for top in layer.top if top not in inputs)
        if inputs:
            deployed.channels = deployed.channels or channels_by_weights(layers, deployed.image, weights) or 3
            yield _input_layer(layer, inputs, deployed)
    elif not cls.sink and _without(layer, missing):
        yield without_files(cls, layer)
        if layer.type == "Input" and not deployed.image:
            deployed.image = layer.top[0]
            if layer.HasField("transform_param"):
                _take_transformation(layer, deployed)
    else:
        missing.update(top for top in layer.top if top not in layer.bottom)


def without_files(cls: type[Layer], layer: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """The layer without the option by which it would write files (see `Layer.written_option`)."""
    *outer, option = cls.written_option.split(".")
    message: Any = layer
    for name in outer:
        message = getattr(message, name) if message.HasField(name) else None
        if message is None:
            return layer
    if option:
        message.ClearField(option)
    return layer


def box_blob(net: caffe_pb2.NetParameter) -> str:
    """The blob whose rows are boxes that the net finds (see `Layer.detects`); empty for nets that find none."""
    found = [layer.top[0] for layer in net.layer if layer.top and layer_class(layer.type, where(layer)).detects]
    return found[-1] if found else ""


def region_blob(net: caffe_pb2.NetParameter) -> str:
    """The blob of regions that a net itself proposes, to look at each of them; empty for nets that do not."""
    inputs = set(input_blobs(net))
    for layer in net.layer:
        place = layer_class(layer.type, where(layer)).region_bottom
        if place is not None and len(layer.bottom) > place and layer.bottom[place] not in inputs:
            return layer.bottom[place]
    return ""


def region_input(net: caffe_pb2.NetParameter) -> str:
    """The input of regions that a net judges, where it proposes none itself; empty for other nets."""
    inputs = set(input_blobs(net))
    for layer in net.layer:
        place = layer_class(layer.type, where(layer)).region_bottom
        if place is not None and len(layer.bottom) > place and layer.bottom[place] in inputs:
            return layer.bottom[place]
    return ""


def input_blobs(net: caffe_pb2.NetParameter) -> list[str]:
    """The tops of the Input layers."""
    return [top for layer in net.layer if layer.type == "Input" for top in layer.top]


def channels_by_weights(
    layers: Sequence[caffe_pb2.LayerParameter], image: str, weights: Sequence[caffe_pb2.NetParameter]
) -> int:
    """How many channels the image must have for the stored weights of the first convolution to fit; 0 if unknown."""
    stored = {layer.name: layer.blobs for net in weights for layer in net.layer if layer.blobs}
    same = {image}
    for layer in layers:
        if not same.intersection(layer.bottom):
            continue
        if layer.type == "Convolution" and layer.name in stored:
            shape = shape_of(stored[layer.name][0])
            return shape[1] * layer.convolution_param.group if len(shape) == 4 else 0
        if layer_class(layer.type).keeps_channels:
            same.update(layer.top)
    return 0


def _take_source(cls: type[SourceLayer], layer: caffe_pb2.LayerParameter, deployed: Deployed) -> list[str]:
    """Note what a data layer does to images; returns the tops that become inputs."""
    deployed.image = layer.top[0]
    deployed.channels, *crop = cls.image_shape(layer)
    deployed.crop = crop[0], crop[1]
    if "transform_param" in cls.option_fields():
        _take_transformation(layer, deployed)
    if cls.size_top is not None and len(layer.top) > cls.size_top:
        deployed.image_size = layer.top[cls.size_top]
    return [name for name in (deployed.image, deployed.image_size) if name]


def _take_transformation(layer: caffe_pb2.LayerParameter, deployed: Deployed) -> None:
    transform = layer.transform_param
    deployed.stated, deployed.scale = True, transform.scale
    deployed.mean = list(transform.mean_value)
    deployed.resize = transform.resize_param[0] if transform.resize_param else None
    if transform.mean_file:
        where = f'layer "{layer.name}": mean_file'
        deployed.mean = read_mean_pixel(to_native(transform.mean_file), where).tolist()


def _input_layer(layer: caffe_pb2.LayerParameter, tops: Sequence[str], deployed: Deployed) -> caffe_pb2.LayerParameter:
    message = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=tops)
    height, width = deployed.crop
    # Sizes the net can surely be set up with; every image brings its own.
    shapes = [[1, deployed.channels, height or 321, width or 321], [1, 1, 1, 2]]
    for _, shape in zip(tops, shapes, strict=False):
        message.input_param.shape.add().dim.extend(shape)
    return message


def _without(layer: caffe_pb2.LayerParameter, missing: set[str]) -> bool:
    """Whether the layer can still run; a Silence only loses the bottoms that are missing."""
    absent = [bottom for bottom in layer.bottom if bottom in missing]
    if not absent:
        return True
    if layer.type != "Silence" or len(absent) == len(layer.bottom):
        return False
    present = [bottom for bottom in layer.bottom if bottom not in missing]
    del layer.bottom[:]
    layer.bottom.extend(present)
    return True
