"""The net that is written for training: in phase TRAIN, with its losses, inputs in the place of its data layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segcaffe.convert import formats
from segcaffe.errors import ExportError
from segcaffe.export.source import Source, Wishes
from segcaffe.graph.graph import where
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.registry import layer_class
from segcaffe.layers.source.base import SourceLayer
from segcaffe.net.net import Net
from segcaffe.predict.files import sha256
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from segcaffe.weights.completeness import load_all


def read_training(net_file: str | Path, weights: Sequence[str | Path], wishes: Wishes) -> Source:
    """Build the net of a file in phase TRAIN with the weights of files.

    Raises
    ------
    SegcaffeError
        A file cannot be read, weights do not fit, or the shapes of what a data layer gives are not among the wishes.
    """
    stored = {str(path): formats.load(path) for path in weights}
    kept = filter_net(read_net(net_file, wishes.variables), net_state(caffe_pb2.TRAIN, wishes.level, wishes.stages))
    for layer, place in zip(kept.message.layer, kept.places, strict=True):
        cls = layer_class(layer.type, where(layer))
        if layer.type == "Input" or (issubclass(cls, SourceLayer) and cls.data):
            _make_input(layer, wishes, f"{place}: " if place else "")
    net = Net(kept, caffe_pb2.TRAIN, wishes.level, list(wishes.stages), fuse=False)
    warning = load_all(net.layer_list, stored, wishes.allow_partial)
    hashes = {Path(path).name: sha256(path) for path in (net_file, *weights)}
    names = frozenset(top for layer in kept.message.layer for top in layer.top)
    return Source(net, tuple(net.outputs), names, Path(net_file).name, hashes, warning=warning)


def _make_input(layer: caffe_pb2.LayerParameter, wishes: Wishes, place: str) -> None:
    """Put an input of the wished shapes in the layer's place; an Input keeps those that are not wished."""
    own = {top: tuple(shape.dim) for top, shape in zip(layer.top, layer.input_param.shape, strict=False)}
    missing = [top for top in layer.top if top not in wishes.shapes and top not in own]
    if missing:
        shapes = " ".join(f"--shape {top}=SIZES" for top in missing)
        raise ExportError(
            f"{place}{where(layer)}: with --train a data layer's tops are arguments of the module. Say their shapes, "
            f"as the layer gives them: {shapes}."
        )
    made = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top)
    for top in layer.top:
        made.input_param.shape.add().dim.extend(wishes.shapes.get(top, own.get(top, ())))
    layer.CopyFrom(made)
