"""From a net to a model of ONNX: names, layers one after the other, inputs, outputs, shapes, metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segcaffe.blob import Blob, Buffer
from segcaffe.errors import ExportError
from segcaffe.export.onnx import custom
from segcaffe.export.onnx.batch import Batch, measure
from segcaffe.export.onnx.emitter import Emitter, FixedBatchError, LayerRefusedError
from segcaffe.export.onnx.graph import GraphBuilder
from segcaffe.export.onnx.package import DEFAULT_IR, DEFAULT_OPSET, check_opset
from segcaffe.export.onnx.preprocessing import Preprocessing, prepare
from segcaffe.export.onnx.registry import write_layer
from segcaffe.export.onnx.simplify import simplified
from segcaffe.export.onnx.tidy import without_identities
from segcaffe.export.refusals import Refusal, RefusedError
from segcaffe.export.source import Source, Wishes, of_net, read_source
from segcaffe.layers.base import Layer
from segcaffe.net.net import Net
from segcaffe.version import __version__

_ADVICE = (
    "Cut the net before it with --until BLOB, or write it as an operator of a domain of your own, which your runtime "
    "must bring, with --custom DOMAIN."
)


@dataclass(frozen=True)
class Options:
    """How a net is written.

    Attributes
    ----------
    opset:
        The version of the operators.
    batch:
        "auto" for a symbolic batch where nothing fixes it, "dynamic" for a symbolic one or an error, "fixed" for the
        batch that the net has.
    preprocessing:
        What becomes part of the graph of how images are prepared.
    simplify:
        Whether BatchNorm, Scale and their like become part of the convolution before them.
    custom:
        The domain of operators that stand for layers which cannot be written otherwise; empty to refuse those.
    """

    opset: int = DEFAULT_OPSET
    batch: str = "auto"
    preprocessing: Preprocessing | None = None
    simplify: bool = False
    custom: str = ""


@dataclass(frozen=True)
class Exported:
    """A model, and what its user should know.

    Attributes
    ----------
    model:
        The `onnx.ModelProto`.
    batch:
        How its blobs depend on the batch; `Batch.why_fixed` says what makes it a fixed one.
    """

    model: Any
    batch: Batch


def export(
    net: str | Path | Net, weights: Sequence[str | Path] = (), wishes: Wishes | None = None, **options: Any
) -> Any:
    """Return the `onnx.ModelProto` of a net file with weights, or of a `Net` with its parameters as they are.

    ``options`` are those of `Options`. Raises RefusedError, which names every layer that cannot be written.
    """
    source = of_net(net, wishes) if isinstance(net, Net) else read_source(net, weights, wishes)
    return export_net(source, Options(**options)).model


def export_net(source: Source, options: Options | None = None) -> Exported:
    """Write a net as a model; RefusedError names every layer that cannot be."""
    options = options or Options()
    check_opset(options.opset)
    if not source.outputs:
        raise ExportError("the net computes no blob that could be an output: no layer is left, or Silence takes all.")
    net = source.net
    batch = Batch.fixed(net) if options.batch == "fixed" else measure(net)
    if options.batch == "dynamic" and batch.why_fixed:
        raise ExportError(f"the batch cannot be symbolic: {batch.why_fixed} Leave it, or say --batch {batch.size}.")
    writing = _Writing(source, options, batch)
    refused = writing.layers()
    if writing.fixing and not refused:
        if options.batch == "dynamic":
            raise RefusedError(writing.fixing, f"The batch cannot be symbolic: say --batch {batch.size}.")
        batch = Batch.fixed(net, str(writing.fixing[0]))
        writing = _Writing(source, options, batch)
        refused = writing.layers()
    if refused:
        raise RefusedError(refused, _ADVICE)
    return Exported(writing.model(), batch)


class _Writing:
    """One pass over a net.

    Attributes
    ----------
    fixing:
        What layers hold the net to the batch that it has.
    """

    def __init__(self, source: Source, options: Options, batch: Batch) -> None:
        self.source, self.options, self.batch, self.net = source, options, batch, source.net
        self.graph = GraphBuilder(options.opset)
        self.graph.reserve(*self.net.graph.blob_names)
        self.fixing: list[Refusal] = []
        self._values: dict[int, str] = {}
        self._left = Counter(top for node in self.net.graph.nodes for top in node.tops)
        self._owners: dict[Buffer, str] = {}
        for layer in self.net.layer_list:
            for i, blob in enumerate(layer.blobs):
                self._owners.setdefault(blob.buffer("data"), f"{layer.name}/{i}")

    def layers(self) -> list[Refusal]:
        """Write every layer; returns those that cannot be."""
        refused = []
        for index in range(len(self.net.graph.nodes)):
            try:
                self._layer(index)
            except LayerRefusedError as error:
                refused.append(error.refusal)
            except FixedBatchError as error:
                self.fixing.append(error.refusal)
        return refused

    def model(self) -> Any:
        """The model of what has been written."""
        net = self.net
        named = dict(zip(net.graph.blob_names, range(len(net.blob_list)), strict=True))
        infos = {name: self._info(name, named[name]) for name in named if name in self.source.names}
        outputs = []
        for name in self.source.outputs:
            value = self._values[named[name]]
            if name in net.inputs and value != name:
                # What layers make of an input in place cannot bear the input's name.
                infos[value] = self._info(value, named[name])
            elif value != name:
                self.graph.node("Identity", [value], [name], "", {})
            outputs.append(value if value in infos else name)
        inputs = [name for name in net.inputs if name in named]
        fixed = {*inputs, *outputs, *self.graph.arrays, *self.source.names}
        self.graph.nodes = without_identities(self.graph.nodes, fixed)
        if self.options.simplify:
            self.graph.nodes = simplified(self.graph, self.graph.nodes, self.source.outputs)
        model = self._empty_model()
        model.graph.name = net.name or Path(self.source.file).stem or "net"
        self.graph.fill(model.graph)
        model.graph.input.extend(infos.pop(name) for name in inputs)
        model.graph.output.extend(infos.pop(name) for name in outputs)
        made = {name for node in self.graph.nodes for name in node.output}
        model.graph.value_info.extend(info for name, info in infos.items() if name in made)
        return model

    def _empty_model(self) -> Any:
        """A model with versions and metadata, to be filled in place: messages of more than 2 GiB cannot be copied."""
        helper = self.graph.onnx.helper
        imports = [helper.make_opsetid("", self.options.opset)]
        if self.options.custom:
            imports.append(helper.make_opsetid(self.options.custom, 1))
        model = self.graph.onnx.ModelProto(producer_name="segcaffe", producer_version=__version__)
        model.ir_version = max(DEFAULT_IR, helper.find_min_ir_version_for(imports[:1]))
        model.opset_import.extend(imports)
        helper.set_model_props(model, dict(self._metadata()))
        return model

    def _layer(self, index: int) -> None:
        node, layer = self.net.graph.nodes[index], self.net.layer_list[index]
        if layer.type == "Split" and not self.source.names.issuperset(node.param.top):
            self._values.update(dict.fromkeys(node.tops, self._values[node.bottoms[0]]))
            return
        inputs = [self._values[blob] for blob in node.bottoms]
        names = [self._name(blob, layer) for blob in node.tops]
        self._values.update(zip(node.tops, names, strict=True))
        if layer.type == "Input":
            self._input(names)
            return
        grows = [self.batch.grows[i] for i in node.bottoms], [self.batch.grows[i] for i in node.tops]
        opened = (
            [frozenset(self.batch.open[i]) for i in node.bottoms],
            [frozenset(self.batch.open[i]) for i in node.tops],
        )
        blobs = self.net.bottom_blobs[index], self.net.top_blobs[index]
        emit = Emitter(self.graph, layer, blobs, inputs, grows, opened, node.place, self._owner)
        first = len(self.graph.nodes)
        try:
            found = write_layer(layer, emit)
        except LayerRefusedError:
            if not self.options.custom:
                raise
            del self.graph.nodes[first:]
            found = custom.write(layer, emit, self.options.custom)
        self._bind(found, names, first)
        self._name_nodes(layer.name, first)

    def _name(self, blob: int, layer: Layer) -> str:
        """What a layer's top is called: as the blob, if no later layer writes that in place, and it is no input."""
        self._left[blob] -= 1
        name = self.net.graph.blob_names[blob]
        if name in self.net.inputs:
            free = layer.type == "Input"
        else:
            free = not self._left[blob] and name != "(automatic)"
        return name if free else self.graph.unique(f"{name}/{layer.name}")

    def _bind(self, found: Sequence[str], names: Sequence[str], first: int) -> None:
        """Give values the names of tops: in place of their own, or by an Identity where they are of other layers."""
        made = {output for node in self.graph.nodes[first:] for output in node.output}
        for value, name in zip(found, names, strict=True):
            if value in made:
                made.remove(value)
                self.graph.rename(value, name, first)
            else:
                self.graph.node("Identity", [value], [name], "", {})

    def _input(self, names: Sequence[str]) -> None:
        """Where images are prepared in the graph, let the first input's readers read what is prepared."""
        wanted = self.options.preprocessing
        if wanted and names and names[0] == self.net.inputs[0]:
            index = self.net.graph.blob_names.index(names[0])
            self._values[index] = prepare(self.graph, names[0], self.net.blob_list[index].shape, wanted)

    def _name_nodes(self, layer: str, first: int) -> None:
        """The node that makes the layer's last value bears its name, the others that with their operator."""
        nodes = self.graph.nodes[first:]
        for node in nodes[:-1]:
            node.name = self.graph.unique_node(f"{layer}/{node.op_type}")
        if nodes:
            nodes[-1].name = self.graph.unique_node(layer)

    def _owner(self, blob: Blob) -> str:
        return self._owners[blob.buffer("data")]

    def _info(self, name: str, blob: int) -> Any:
        shape = self.net.blob_list[blob].shape
        dims = [self.batch.dimension(blob, axis, extent) for axis, extent in enumerate(shape)]
        onnx = self.graph.onnx
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)

    def _metadata(self) -> Iterator[tuple[str, str]]:
        yield "segcaffe_version", __version__
        if self.source.file:
            yield "source_file", self.source.file
        for name, found in self.source.hashes.items():
            yield f"sha256 {name}", found
        preprocessing = self.options.preprocessing or Preprocessing()
        yield "preprocessing_in_graph", preprocessing.text() or "none"
        if self.source.mean is not None and not self.options.preprocessing:
            stated = replace(preprocessing, mean=self.source.mean, scale=self.source.scale or 1.0)
            yield "preprocessing", stated.text() or "none"
