"""From a prototxt to what is built: inputs of given shapes, layers of scripts, and none that read or write files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segcaffe.dnn import custom
from segcaffe.dnn.errors import DnnError
from segcaffe.graph.graph import where
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.python.stand_ins import stand_in
from segcaffe.layers.registry import find_class
from segcaffe.predict.deploy import without_files
from segcaffe.proto.caffe_pb2 import TEST, LayerParameter, NetParameter
from segcaffe.proto.placed import PlacedNet


def included(net: PlacedNet) -> PlacedNet:
    """The net's layers of phase TEST; DnnError for one that makes its own data, or is code of the net's author."""
    kept = filter_net(net, net_state(TEST, 0, net.message.state.stage))
    for param, place in zip(kept.message.layer, kept.places, strict=True):
        problem = _problem(param)
        if problem:
            raise DnnError(f"{where(param)}: {problem}", layer=param.name, place=place)
    return _with_inputs(PlacedNet(kept.message, kept.places, net.passed_over))


def _with_inputs(net: PlacedNet) -> PlacedNet:
    """The net; where it has no inputs, with those blobs for inputs that its layers read and do not make.

    ``input: "data"`` without a shape is such an input: it is dropped where nets of old are read.
    """
    made: set[str] = set()
    read: dict[str, None] = {}
    for layer in net.message.layer:
        read |= {name: None for name in layer.bottom if name not in made}
        made.update(layer.top)
    if not read or any(layer.type == "Input" for layer in net.message.layer):
        return net
    message = NetParameter()
    message.CopyFrom(net.message)
    del message.layer[:]
    message.layer.add(name="input", type="Input", top=read)
    message.layer.extend(net.message.layer)
    return PlacedNet(message, [None, *net.places], net.passed_over)


def _problem(param: LayerParameter) -> str:
    if custom.is_registered(param.type):
        return ""
    python = param.python_param
    if param.type == "Python" and stand_in(python.module, python.layer) is None:
        return (
            "is Python code of the net's author, which is not run here. Register a class of your own for it: "
            'dnn.registerLayer("Python", CLASS).'
        )
    cls = find_class(param.type)
    if cls.source and param.type not in ("Input", "DummyData", "Parameter"):
        return "reads data of its own, while nets here are fed by setInput. Give the net's deploy.prototxt."
    return "writes files, which nets do not do here. Remove the layer." if cls.sink and param.type != "Silence" else ""


def input_shapes(net: PlacedNet) -> dict[str, tuple[int, ...]]:
    """For each input, in order, the shape that the prototxt gives it; of no axes where it gives none."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in net.message.layer:
        if layer.type == "Input":
            shapes = layer.input_param.shape
            for index, name in enumerate(layer.top):
                # One shape counts for all tops.
                shape = shapes[min(index, len(shapes) - 1)].dim if shapes else ()
                found[name] = tuple(shape)
    return found


def to_build(net: PlacedNet, shapes: Mapping[str, Sequence[int]], weights: NetParameter | None) -> PlacedNet:
    """The net with inputs of these shapes, in which layers of registered types call their classes."""
    message = NetParameter()
    message.CopyFrom(net.message)
    stored = {layer.name: layer for layer in (weights.layer if weights is not None else ()) if layer.blobs}
    for layer in message.layer:
        without_files(find_class(layer.type), layer)
        if layer.type == "Input":
            del layer.input_param.shape[:]
            for name in layer.top:
                layer.input_param.shape.add(dim=shapes[name])
        elif custom.is_registered(layer.type):
            if layer.name in stored:
                del layer.blobs[:]
                layer.blobs.extend(stored[layer.name].blobs)
            custom.as_python_layer(layer)
    return PlacedNet(message, net.places, net.passed_over)
