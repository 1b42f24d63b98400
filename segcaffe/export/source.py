"""The net that is exported: in phase TEST, without data layers, each layer as it is written, with its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from segcaffe.convert import formats
from segcaffe.data.mean import read_mean_pixel
from segcaffe.errors import ExportError, GraphError, Place, SegcaffeError, about_layer, unknown_name
from segcaffe.export.input_shapes import set_shapes
from segcaffe.graph.graph import where
from segcaffe.graph.rules import about_left_out, filter_net, net_state
from segcaffe.layers.registry import layer_class
from segcaffe.layers.source.base import SourceLayer
from segcaffe.net.net import Net
from segcaffe.predict.deploy import Deployed, deploy, input_blobs
from segcaffe.predict.files import sha256
from segcaffe.proto import caffe_pb2
from segcaffe.proto.encoding import to_native
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
    state = net_state(caffe_pb2.TEST, wishes.level, [*placed.message.state.stage, *wishes.stages])
    kept = filter_net(placed, state)
    unread = _forget_unread_means(kept.message)
    deployed = _without_data(kept, wishes, list(stored.values()))
    set_shapes(deployed.net.message, wishes.shapes, wishes.batch, where)
    names = frozenset(top for layer in deployed.net.message.layer for top in layer.top)
    computed = {top for layer in deployed.net.message.layer if layer.type != "Input" for top in layer.top}
    if wishes.until:
        _cut(deployed.net, wishes.until, computed)
    with _telling_of_rules(placed.message, state):
        built = Net(deployed.net, caffe_pb2.TEST, wishes.level, list(wishes.stages), fuse=False)
    warning = load_all(built.layer_list, stored, wishes.allow_partial)
    stated = deployed.stated and not unread
    return Source(
        built,
        wishes.until or _outputs(built, names, computed),
        names,
        mean=tuple(deployed.mean) if stated else None,
        scale=deployed.scale if stated else None,
        warning=" ".join(text for text in (warning, unread) if text),
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


def _forget_unread_means(net: caffe_pb2.NetParameter) -> str:
    """Take mean files that cannot be read out of a net, whose layers go out without them; a sentence that says so."""
    unread = []
    for layer in net.layer:
        if layer.transform_param.mean_file:
            try:
                read_mean_pixel(to_native(layer.transform_param.mean_file), "mean_file")
            except SegcaffeError:
                unread.append(layer.transform_param.mean_file)
                layer.transform_param.ClearField("mean_file")
    if not unread:
        return ""
    return f"{', '.join(unread)} cannot be read: which mean is subtracted from images is not noted in the model."


@contextmanager
def _telling_of_rules(net: caffe_pb2.NetParameter, state: caffe_pb2.NetState) -> Iterator[None]:
    """Have an error about a net also say which layers its rules have left out, where those make what is missing."""
    try:
        yield
    except GraphError as error:
        told = about_left_out(net, state)
        if not told:
            raise
        raise GraphError(f"{error.text()}{told}", layer=error.layer, place=error.place) from error


def _without_data(kept: PlacedNet, wishes: Wishes, weights: Sequence[caffe_pb2.NetParameter]) -> Deployed:
    """A filtered net with inputs for data layers and without sinks; one that makes its own values stays."""
    classes = []
    for layer, place in zip(kept.message.layer, kept.places, strict=True):
        with about_layer(layer.name, place):
            classes.append(layer_class(layer.type, where(layer)))
    if input_blobs(kept.message) or any(issubclass(cls, SourceLayer) and cls.data for cls in classes):
        deployed = deploy(kept, wishes.level, wishes.stages, weights)
        if not input_blobs(kept.message) and 0 in deployed.crop and deployed.image not in wishes.shapes:
            raise ExportError(
                f"the net's data layer does not say how large its images are. Say it: --shape "
                f"{deployed.image}=1,{deployed.channels or 3},HEIGHT,WIDTH."
            )
        return deployed
    _keep(kept, [not cls.sink for cls in classes])
    return Deployed(kept)


def _cut(net: PlacedNet, until: Iterable[str], computed: Set[str]) -> None:
    """Leave of a net what the last version of some blobs needs; ExportError for one that no layer computes."""
    layers = net.message.layer
    made = list(dict.fromkeys(top for layer in layers for top in layer.top))
    for blob in until:
        if blob not in made:
            raise unknown_name("blob", blob, made)
        if blob not in computed:
            raise ExportError(
                f'the net can only end with blobs that a layer computes. Received: "{blob}", an input. '
                f"Computed: {', '.join(name for name in made if name in computed) or 'none'}."
            )
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


def _outputs(net: Net, names: Set[str], computed: Set[str]) -> tuple[str, ...]:
    """The blobs that no layer reads and that a layer computes; of a split its source."""
    sources = {}
    for node in net.graph.nodes:
        if node.param.type == "Split":
            sources.update(dict.fromkeys(node.param.top, node.param.bottom[0]))
    found = [name if name in names else sources.get(name, name) for name in net.outputs]
    return tuple(dict.fromkeys(name for name in found if name not in net.inputs or name in computed))
