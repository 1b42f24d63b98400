"""The net that is exported: in phase TEST, without data layers, each layer as it is written, with its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segcaffe.convert import formats
from segcaffe.errors import ExportError, Place, unknown_name
from segcaffe.graph.graph import where
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.registry import layer_class
from segcaffe.layers.source.base import SourceLayer
from segcaffe.net.net import Net
from segcaffe.predict.deploy import Deployed, deploy, input_blobs
from segcaffe.predict.files import sha256
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import read_net
from segcaffe.weights.completeness import load_all

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wishes:
    """How a net is to be built for export.

    Attributes
    ----------
    shapes:
        Shapes of inputs, by name; others keep those that the file says.
    batch:
        The first axis of the inputs that have the first input's batch; None for what the file says.
    until:
        Blobs that the exported net ends with; empty for all of it.
    variables, level, stages:
        As `Net` takes them.
    allow_partial:
        Whether layers may keep random values because the weights do not have them.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    batch: int | None = None
    until: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None
    level: int = 0
    stages: Sequence[str] = ()
    allow_partial: bool = False


@dataclass(frozen=True)
class Source:
    """A net that is ready to be exported.

    Attributes
    ----------
    net:
        The net, in phase TEST, not fused.
    outputs:
        Names of the blobs that the exported net gives.
    names:
        Names of the blobs that the file knows; those that the graph adds for its splits are not among them.
    file, hashes:
        Name of the net's file, and the SHA-256 of each file by its name; empty where the net came from no file.
    mean, scale:
        How the file says that images are prepared: (pixel - mean) * scale; None where it does not say.
    warning:
        The layers that kept random values, or nothing.
    """

    net: Net
    outputs: tuple[str, ...]
    names: frozenset[str]
    file: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    scale: float | None = None
    warning: str = ""


def read_source(net_file: str | Path, weights: Sequence[str | Path] = (), wishes: Wishes | None = None) -> Source:
    """Build the net of a file with the weights of files.

    A train or test file loses its data layers: the images' become inputs, what needs labels is left out (see
    `segcaffe.predict.deploy`). Layers that write files are left out of any net.

    Raises
    ------
    SegcaffeError
        A file cannot be read, weights do not fit, a blob or input of the wishes is not there.
    """
    wishes = wishes or Wishes()
    stored = {str(path): formats.load(path) for path in weights}
    placed = read_net(net_file, wishes.variables)
    source = build_source(placed, stored, wishes, str(net_file))
    hashes = {Path(path).name: sha256(path) for path in (net_file, *weights)}
    return Source(**{**vars(source), "file": Path(net_file).name, "hashes": hashes})


def build_source(
    net: PlacedNet | caffe_pb2.NetParameter,
    stored: Mapping[str, caffe_pb2.NetParameter] | None = None,
    wishes: Wishes | None = None,
    where: str = "the net",
) -> Source:
    """Build the net of a message; ``stored`` are weights by the name of their file, ``where`` names it in errors."""
    wishes, stored = wishes or Wishes(), stored or {}
    placed = net if isinstance(net, PlacedNet) else PlacedNet.upgraded(net)
    deployed = _without_data(placed, wishes, list(stored.values()))
    param = deployed.net.message
    _set_shapes(deployed, wishes, where)
    names = frozenset(top for layer in param.layer for top in layer.top)
    if wishes.until:
        _cut(deployed.net, wishes.until)
    built = Net(deployed.net, caffe_pb2.TEST, wishes.level, list(wishes.stages), fuse=False)
    warning = load_all(built.layer_list, stored, wishes.allow_partial)
    stated = deployed.stated
    return Source(
        built,
        wishes.until or _outputs(built, names),
        names,
        mean=tuple(deployed.mean) if stated else None,
        scale=deployed.scale if stated else None,
        warning=warning,
    )


def of_net(net: Net, wishes: Wishes | None = None) -> Source:
    """Take a net that has been built, with the parameters and input shapes that it has now."""
    message = net.to_proto()
    weights = caffe_pb2.NetParameter()
    weights.CopyFrom(message)
    for layer in message.layer:
        del layer.blobs[:]
        if layer.type == "Input":
            del layer.input_param.shape[:]
            for top in layer.top:
                layer.input_param.shape.add().dim.extend(net.blobs[top].shape)
    return build_source(message, {"the net": weights} if net.params else {}, wishes)


def _without_data(net: PlacedNet, wishes: Wishes, weights: Sequence[caffe_pb2.NetParameter]) -> Deployed:
    """The net in phase TEST with inputs for data layers and without sinks; one that makes its own values stays."""
    state = net_state(caffe_pb2.TEST, wishes.level, [*net.message.state.stage, *wishes.stages])
    kept = filter_net(net, state)
    classes = [layer_class(layer.type, where(layer)) for layer in kept.message.layer]
    if input_blobs(kept.message) or any(issubclass(cls, SourceLayer) and cls.data for cls in classes):
        deployed = deploy(net, wishes.level, wishes.stages, weights)
        if not input_blobs(kept.message) and 0 in deployed.crop and deployed.image not in wishes.shapes:
            raise ExportError(
                f"the net's data layer does not say how large its images are. Say it: --shape "
                f"{deployed.image}=1,{deployed.channels or 3},HEIGHT,WIDTH."
            )
        return deployed
    _keep(kept, [not cls.sink for cls in classes])
    return Deployed(kept)


def _set_shapes(deployed: Deployed, wishes: Wishes, where: str) -> None:
    """Give the Input layers the shapes that are wished for."""
    inputs = [
        (top, layer.input_param.shape[min(i, len(layer.input_param.shape) - 1)])
        for layer in deployed.net.message.layer
        if layer.type == "Input"
        for i, top in enumerate(_own_shapes(layer))
    ]
    known = dict(inputs)
    for name, wanted in wishes.shapes.items():
        if name not in known:
            raise ExportError(
                f'{where}: there is no input "{name}" to give a shape to. Its inputs: {", ".join(known) or "none"}.'
            )
        if len(wanted) != len(known[name].dim):
            raise ExportError(
                f'input "{name}" has {len(known[name].dim)} axes: {tuple(known[name].dim)}. Received: {wanted}.'
            )
        known[name].dim[:] = wanted
    if wishes.batch is not None:
        with_batch = [shape for _, shape in inputs if shape.dim]
        first = with_batch[0].dim[0] if with_batch else 0
        for shape in with_batch:
            if shape.dim[0] == first:
                shape.dim[0] = wishes.batch


def _own_shapes(layer: caffe_pb2.LayerParameter) -> Sequence[str]:
    """The tops of an Input layer, each with a shape of its own from now on."""
    shapes = layer.input_param.shape
    while 0 < len(shapes) < len(layer.top):
        shapes.add().CopyFrom(shapes[0])
    return layer.top if shapes else ()


def _cut(net: PlacedNet, until: Iterable[str]) -> None:
    """Leave of a net what the last version of some blobs needs."""
    layers = net.message.layer
    made = list(dict.fromkeys(top for layer in layers for top in layer.top))
    for blob in until:
        if blob not in made:
            raise unknown_name("blob", blob, made)
    needed, keep = set(until), [False] * len(layers)
    for i in reversed(range(len(layers))):
        if needed.intersection(layers[i].top):
            keep[i] = True
            needed.update(layers[i].bottom)
    _keep(net, keep)


def _keep(net: PlacedNet, keep: Sequence[bool]) -> None:
    layers = [layer for layer, kept in zip(net.message.layer, keep, strict=True) if kept]
    places: list[Place | None] = [place for place, kept in zip(net.places, keep, strict=True) if kept]
    del net.message.layer[:]
    net.message.layer.extend(layers)
    assert isinstance(net.places, list)
    net.places[:] = places


def _outputs(net: Net, names: frozenset[str]) -> tuple[str, ...]:
    """The blobs that no layer reads and that a layer computes; of a split its source."""
    sources = {}
    for node in net.graph.nodes:
        if node.param.type == "Split":
            sources.update(dict.fromkeys(node.param.top, node.param.bottom[0]))
    found = [name if name in names else sources.get(name, name) for name in net.outputs]
    return tuple(dict.fromkeys(name for name in found if name not in net.inputs))
