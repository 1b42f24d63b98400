"""The running net: layers connected by blobs, forward and backward."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.blob.proto import to_proto
from segcaffe.blob.vectors import BlobVec, LayerVec, RawBlobVec
from segcaffe.device.memory import out_of_memory
from segcaffe.errors import GraphError, InputError, SegcaffeError, unknown_name
from segcaffe.fusion.fold import fold
from segcaffe.fusion.fuse import fuse as fuse_graph
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.fusion.running import activate, wrap
from segcaffe.graph.backward import BackwardPlanner, missing_gradients
from segcaffe.graph.graph import Graph, Node, build_graph
from segcaffe.graph.rules import net_state
from segcaffe.layers.base import Layer
from segcaffe.net import position
from segcaffe.net.arena import Arena, plan_net
from segcaffe.net.completeness import warning
from segcaffe.net.loading import copy_weights, take_own_blobs
from segcaffe.net.named import Named
from segcaffe.net.program import Numbers, learns
from segcaffe.net.pycaffe import Hook, PycaffeMembers
from segcaffe.net.replay import Replay, replay_wanted
from segcaffe.net.sharing import ParamTable
from segcaffe.plan.memory import MemoryPlan
from segcaffe.plan.recompute import names_of
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import layer_places, read_net
from segcaffe.proto.upgrade import upgrade_net

_log = logging.getLogger("segcaffe")


class Net(PycaffeMembers):
    """A net built from a prototxt file or a NetParameter.

    Parameters
    ----------
    network_file:
        Path of a prototxt file, or a `NetParameter`.
    args:
        The arguments phase, level, stages and weights may also be given by position, in that order; so may
        those of old scripts, ``Net(network_file, weights, phase)``.
    phase:
        ``caffe_pb2.TRAIN`` or ``caffe_pb2.TEST``.
    weights:
        Path of a file of weights to load.
    level, stages:
        State that the layers' include and exclude rules are held against.
    variables:
        Values of the file's ``${NAME}`` templates.
    dtype:
        float32, or float64 for gradient checks.
    fuse:
        Whether segmentation-aware convolutions run without writing columns out (see `segcaffe.fusion.fuse`). The blobs
        in between are then computed when they are read, and what is written into them is not used. BatchNorm, Scale
        and ReLU become part of the convolution before them, unless debug_info asks for each layer's values (see
        `segcaffe.fusion.fold`).
    share_memory:
        Whether blobs that are not needed at the same time use the same memory (see `segcaffe.plan.memory`). Then only
        inputs, outputs, losses and parameters can be read after a pass, and in phase TEST the net cannot run backward
        unless its prototxt says force_backward: true.
    keep:
        Names of blobs that can be read after a pass all the same.
    recompute:
        Layers whose values are not kept for the backward pass but computed again: names, patterns such as ``conv*``,
        in a list or separated by commas, or "auto" (see `segcaffe.plan.recompute`). Blobs then share memory, and a
        backward pass takes a forward pass before it.

    Attributes
    ----------
    blobs:
        Ordered mapping of blob name to `Blob`.
    params:
        Ordered mapping of layer name to its list of parameter blobs.
    layers:
        The layers in execution order, splits included; of a Python layer the user's own object.
    layer_list:
        The same as the engine runs them.
    learnable_params, params_lr, params_weight_decay:
        Parameters that own their memory, in order, with their multipliers.
    loss:
        Sum over all losses of the last forward, each times its weight.
    """

    def __init__(
        self,
        network_file: str | Path | caffe_pb2.NetParameter,
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
        variables: Mapping[str, str] | None = None,
        dtype: Any = np.float32,
        fuse: bool = True,
        share_memory: bool = False,
        keep: Sequence[str] = (),
        recompute: str | Sequence[str] | None = None,
    ) -> None:
        phase, level, stages, weights = _positional(args, phase, level, stages, weights)
        param, places = _read(network_file, variables)
        try:
            graph = build_graph(param, net_state(phase, level, [*param.state.stage, *(stages or ())]))
            if fuse:
                graph = fuse_graph(graph) if param.debug_info else fold(fuse_graph(graph))
            self._build(param, graph, phase, dtype)
        except SegcaffeError as error:
            error.args = (_placed(str(error), places),)
            raise
        self.kept_blobs = frozenset(keep)
        again = names_of(recompute)
        self._arena = Arena(self, again) if share_memory or (again and learns(self)) else None
        self._loaded: set[str] = set()
        self._told_of_gradients = False
        if weights is not None:
            self.copy_from(weights)

    def _build(self, param: caffe_pb2.NetParameter, graph: Graph, phase: int, dtype: Any) -> None:
        self.phase = phase
        self.dtype = np.dtype(dtype)
        self.graph: Graph = graph
        self.name = self.graph.name
        self.debug_info = param.debug_info
        self.layer_list: list[Layer] = []
        self._blobs = BlobVec(
            (LazyBlob if i in graph.lazy else Blob)((0,), dtype) for i in range(len(graph.blob_names))
        )
        self.bottom_blobs: list[RawBlobVec] = []
        self.top_blobs: list[RawBlobVec] = []
        self.loss_weights: list[list[float]] = []
        self._shapes: list[tuple[tuple[int, ...], ...] | None] = []
        self._table = ParamTable()
        self.loss = 0.0
        self._graphs: dict[str, Replay] = {}
        self._before_forward: list[Hook] = []
        self._after_forward: list[Hook] = []
        self._before_backward: list[Hook] = []
        self._after_backward: list[Hook] = []
        planner = BackwardPlanner(self.graph)
        for index, node in enumerate(self.graph.nodes):
            layer = self._add_layer(node)
            planner.visit(index, self._learns(layer))
        self._finish(planner)

    def _add_layer(self, node: Node) -> Layer:
        layer = node.make(self.dtype)
        bottom = RawBlobVec(self._blobs[i] for i in node.bottoms)
        top = RawBlobVec(self._blobs[i] for i in node.tops)
        layer.check_counts(len(bottom), len(top))
        layer.setup(bottom, top)
        take_own_blobs(layer)
        self.layer_list.append(layer)
        self.bottom_blobs.append(bottom)
        self.top_blobs.append(top)
        self.loss_weights.append(_loss_weights(node, len(top)))
        self._shapes.append(None)
        self._reshape_layer(len(self.layer_list) - 1)
        self._table.add(layer)
        return layer

    def _learns(self, layer: Layer) -> bool:
        """Set which of the layer's parameters want gradients; whether any does."""
        specs = layer.param.param
        lr_mults = [specs[i].lr_mult if i < len(specs) else 1.0 for i in range(len(layer.blobs))]
        layer.param_propagate_down = [lr != 0 for lr in lr_mults]
        return any(layer.param_propagate_down)

    def _finish(self, planner: BackwardPlanner) -> None:
        plan = planner.finish([[weight != 0 for weight in weights] for weights in self.loss_weights])
        # With force_backward the plan asks every layer; those that could compute nothing are left alone.
        self.layer_needs_backward = [
            needs and (any(bottoms) or bool(layer.blobs))
            for needs, bottoms, layer in zip(plan.layers, plan.bottoms, self.layer_list, strict=True)
        ]
        self.bottom_needs_backward = plan.bottoms
        self.numbers = Numbers(self._blobs)
        if self.graph.force_backward:
            for layer in self.layer_list:
                layer.param_propagate_down = [True] * len(layer.blobs)
        graph = self.graph
        wrap(graph, self.layer_list, plan.bottoms)
        self.blobs = Named.of("blob", zip(graph.blob_names, self._blobs, strict=True))
        self.layer_names = [node.name for node in graph.nodes]
        self.layers = LayerVec(layer.public for layer in self.layer_list)
        own = ((layer.name, layer.blobs) for layer in self.layer_list if layer.blobs)
        self.params = Named.of("layer with parameters", own)
        self.inputs = [graph.blob_names[i] for i in graph.inputs]
        self.outputs = [graph.blob_names[i] for i in graph.outputs]
        owners = self._table.owners
        self.learnable_params = [owner.blob for owner in owners]
        self.params_lr = [1.0 if owner.lr_mult is None else owner.lr_mult for owner in owners]
        self.params_weight_decay = [1.0 if owner.decay_mult is None else owner.decay_mult for owner in owners]

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Run layers ``start`` to ``end`` (default: all) and return output arrays by name.

        Parameters
        ----------
        blobs:
            Names of blobs to return besides the outputs.
        inputs:
            Values of input blobs by name, copied in first; shapes must match.
        """
        first = self._layer_index(start) if start is not None else 0
        last = self._layer_index(end) if end is not None else len(self.layer_list) - 1
        names = dict.fromkeys(self.top_names[end] if end is not None else self.outputs) | dict.fromkeys(blobs or ())
        wanted = {name: self.blobs[name] for name in names}
        if inputs:
            self._set_inputs(inputs)
        self.forward_from_to(first, last)
        return {name: blob.data for name, blob in wanted.items()}

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Run the backward passes from layer ``start`` down to ``end`` (default: all); return input gradients.

        Parameters
        ----------
        diffs:
            Names of blobs whose gradients to return besides the inputs'.
        tops:
            Gradients of output blobs by name, copied in first.

        Only gradients that parameters need are computed, and none but below losses, unless the net's prototxt says
        ``force_backward: true``; the others stay as they were, and a warning says so.
        """
        first = self._layer_index(start) if start is not None else len(self.layer_list) - 1
        last = self._layer_index(end) if end is not None else 0
        diffs = list(diffs or ())
        names = dict.fromkeys(self.bottom_names[end] if end is not None else self.inputs) | dict.fromkeys(diffs)
        wanted = {name: self.blobs[name] for name in names}
        for name, values in tops.items():
            self._put(values, self.blobs[name], "diff", f'backward: the gradient of "{name}"')
        self.backward_from_to(first, last)
        self._tell_of_gradients(diffs, bool(tops), first, last)
        return {name: blob.diff for name, blob in wanted.items()}

    def _tell_of_gradients(self, asked: Iterable[str], given: bool, first: int, last: int) -> None:
        """Warn, once, of gradients that were asked for and that no layer computes; of all where none runs backward.

        Where output gradients were ``given``, those of the inputs, or of one of them, are what is asked for.
        """
        if self._told_of_gradients or self.graph.force_backward:
            return
        missing = missing_gradients(self, asked, first, last)
        inputs = missing_gradients(self, self.inputs, first, last)
        if given and last == 0 and inputs == self.inputs:
            missing += inputs
        if not missing and any(self.layer_needs_backward[last : first + 1]):
            return
        self._told_of_gradients = True
        _log.warning(
            "%s: backward computes no gradient%s, which no loss or parameter needs: it stays as it was. "
            "Write force_backward: true at the top of the net's prototxt.",
            f'Net "{self.name}"' if self.name else "The net",
            f" of {', '.join(dict.fromkeys(missing))}" if missing else "",
        )

    def forward_from_to(self, first: int, last: int) -> float:
        """Run layers ``first`` to ``last`` (indices, both included); returns and keeps the sum of weighted losses."""
        watched = bool(self._before_forward or self._after_forward)
        activate(self.graph, self.layer_list, first, last, watched)
        if self._replays(first, last, watched):
            self.loss = self._replay_forward()
            return self.loss
        loss, i = 0.0, first
        try:
            for i in range(first, last + 1):
                for hook in self._before_forward:
                    hook(i)
                loss += self._forward_layer(i)
                for hook in self._after_forward:
                    hook(i)
        except MemoryError as error:
            raise out_of_memory(self.layer_list[i].where, error) from error
        self.loss = loss
        return loss

    def _forward_layer(self, i: int) -> float:
        self._graphs.clear()
        if self._arena is not None:
            self._arena.begin()
        position.now = position.Position(i, len(self.layer_list), False)
        self.compute_layer(i)
        return self._loss_of(i)

    def compute_layer(self, i: int) -> None:
        """Run one layer forward, reshaped first if a bottom's shape has changed."""
        layer, bottom = self.layer_list[i], self.bottom_blobs[i]
        if layer.reshape_always or self._shapes[i] != tuple([b.shape for b in bottom]):
            self._reshape_layer(i)
        layer.forward(bottom, self.top_blobs[i])
        if self._arena is not None:
            self._arena.release_saved(i)

    def _replays(self, first: int, last: int, watched: bool) -> bool:
        """Whether a pass over these layers is to be replayed: one over the whole net, without hooks."""
        recomputes = self._arena is not None and self._arena.recomputed
        return replay_wanted() and not recomputes and abs(last - first) == len(self.layer_list) - 1 and not watched

    def _replay_forward(self) -> float:
        try:
            self._graphs.setdefault("forward", Replay(self, backward=False)).run()
        except MemoryError as error:
            raise out_of_memory(f'net "{self.name}"', error) from error
        return sum(self._loss_of(i) for i in range(len(self.layer_list)))

    def _loss_of(self, i: int) -> float:
        top = self.top_blobs[i]
        loss = 0.0
        for blob, weight in zip(top, self.loss_weights[i], strict=True):
            if weight:
                loss += weight * float(blob.array.sum(dtype=np.float64))
        return loss

    def backward_from_to(self, first: int, last: int) -> None:
        """Run the backward passes of layers ``first`` down to ``last`` (indices, both included)."""
        if self.shares_memory and self.phase == caffe_pb2.TEST and not learns(self):
            raise GraphError(
                "The net's blobs share memory, so the values that a backward pass needs are gone. Build it with "
                "share_memory=False, or with force_backward: true in its prototxt."
            )
        i, watched = first, bool(self._before_backward or self._after_backward)
        activate(self.graph, self.layer_list, last, first, watched)
        try:
            if self._replays(first, last, watched):
                self._graphs.setdefault("backward", Replay(self, backward=True)).run()
                return
            for i in range(first, last - 1, -1):
                if self.layer_needs_backward[i]:
                    self.backward_layer(i)
        except MemoryError as error:
            raise out_of_memory(f"{self.layer_list[i].where}, backward", error) from error

    def backward_layer(self, i: int) -> None:
        """Run one layer backward."""
        self._check_gradients_allowed(i)
        if self._arena is not None:
            self._arena.restore(i)
        for hook in self._before_backward:
            hook(i)
        position.now = position.Position(i, len(self.layer_list), True)
        self.layer_list[i].backward(self.top_blobs[i], self.bottom_needs_backward[i], self.bottom_blobs[i])
        if self._arena is not None:
            self._arena.release_saved(i)
        for hook in self._after_backward:
            hook(i)

    def reshape(self) -> None:
        """Carry changed shapes of the inputs through all layers."""
        self._graphs.clear()
        for i in range(len(self.layer_list)):
            self._reshape_layer(i)
        if self._arena is not None:
            self._arena.lay_out()

    @property
    def blob_list(self) -> list[Blob]:
        """The blobs by index, as the graph numbers them."""
        return self._blobs

    def plan_memory(self, recompute: str | Sequence[str] | None = None) -> MemoryPlan:
        """Return which blobs share memory, or could, and what the net takes then; also with another ``recompute``."""
        return plan_net(self, names_of(recompute)) if recompute or self._arena is None else self._arena.plan

    @property
    def shares_memory(self) -> bool:
        """Whether blobs use the same memory by turns."""
        return self._arena is not None

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for blob in self.learnable_params:
            # What has not been read yet is zero, and takes no memory.
            if blob.buffer("diff").head != "nowhere":
                blob.grad[...] = 0

    def copy_from(self, weights: str | Path) -> None:
        """Load weights from a file: by layer name, each layer's blobs in order; layers not in the file keep theirs.

        The file may have any of the formats that `segcaffe.convert.formats` reads.
        """
        from segcaffe.convert import formats

        self.copy_trained_layers(formats.load(weights), str(weights))

    def copy_trained_layers(self, source: caffe_pb2.NetParameter, where: str = "weights") -> None:
        """Copy the blobs of a NetParameter's layers into the layers of the same names.

        A warning names the layers whose values are random or zero and in none of the weights that were copied.
        """
        report = copy_weights(self.layer_list, source, where)
        self._loaded.update(report.loaded)
        told = "" if report.strangers else warning(self.layer_list, self._loaded)
        if told:
            _log.warning("%s: %s", where, told)

    def share_with(self, other: Net) -> None:
        """Use the parameters of ``other`` for the layers of the same names (for several nets on one set of weights)."""
        theirs = {layer.name: layer for layer in other.layer_list}
        for layer in self.layer_list:
            if layer.name not in theirs:
                continue
            for index, (mine, blob) in enumerate(zip(layer.blobs, theirs[layer.name].blobs, strict=False)):
                if mine.shape != blob.shape:
                    raise GraphError(
                        f"{layer.where}: cannot share parameter {index} of shape {blob.shape}; it needs {mine.shape}."
                    )
                mine.share_data(blob)

    def to_proto(self, write_diff: bool = False) -> caffe_pb2.NetParameter:
        """Return the net with its weights as a message, as snapshots hold it."""
        net = caffe_pb2.NetParameter(name=self.name)
        for layer in self.layer_list:
            message = net.layer.add()
            message.CopyFrom(layer.param)
            del message.blobs[:]
            message.blobs.extend(to_proto(blob, write_diff) for blob in layer.blobs)
        return net

    def save(self, path: str | Path) -> None:
        """Write the weights: as .npz, .safetensors or .h5 where the name ends so, otherwise as a binary .caffemodel."""
        from segcaffe.convert.formats import save

        save(self.to_proto(), path, any_binary=True)

    def _reshape_layer(self, i: int) -> None:
        layer, bottom, top = self.layer_list[i], self.bottom_blobs[i], self.top_blobs[i]
        layer.reshape(bottom, top)
        shapes = tuple([blob.shape for blob in bottom])
        if shapes != self._shapes[i]:
            self._graphs.clear()
        self._shapes[i] = shapes
        for blob, weight in zip(top, self.loss_weights[i], strict=True):
            if weight:
                blob.diff[...] = weight

    def _check_gradients_allowed(self, i: int) -> None:
        for j, wanted in enumerate(self.bottom_needs_backward[i]):
            if wanted and not self.layer_list[i].allows_gradient(j):
                name = self.graph.blob_names[self.graph.nodes[i].bottoms[j]]
                raise GraphError(
                    f'{self.layer_list[i].where}: gives no gradient to its bottom {j} ("{name}"), but layers below it '
                    "learn. Write propagate_down: false for that bottom, or lr_mult: 0 below."
                )

    def _set_inputs(self, inputs: Mapping[str, Any]) -> None:
        if set(inputs) != set(self.inputs):
            raise InputError(f"forward: the net's inputs are {self.inputs}. Received: {sorted(inputs)}.")
        for name, values in inputs.items():
            self._put(values, self.blobs[name], "data", f'forward: input "{name}"')

    @staticmethod
    def _put(values: Any, blob: Blob, side: str, what: str) -> None:
        """Copy values into a blob; the batch sizes must agree, other axes may be of extent 1, as in NumPy."""
        array = np.asarray(values)
        target: np.ndarray[Any, Any] = getattr(blob, side)
        try:
            if array.shape[:1] != blob.shape[:1]:
                raise ValueError("batch size")
            target[...] = array
        except ValueError:
            raise InputError(
                f"{what} has shape {blob.shape}. Received: {array.shape}; reshape the blob first to change it."
            ) from None

    def _layer_index(self, name: str) -> int:
        if name not in self.layer_names:
            raise unknown_name("layer", name, self.layer_names)
        return self.layer_names.index(name)


def _positional(
    args: tuple[Any, ...], phase: int | None, level: int, stages: Sequence[str] | None, weights: Any
) -> tuple[int, int, Sequence[str] | None, Any]:
    """Sort out ``(phase, level, stages, weights)`` and the old ``(weights, phase)`` by what the values are."""
    numbers = [int(value) for value in args if isinstance(value, (int, np.integer))]
    for value in args:
        if isinstance(value, (str, Path)):
            weights = value
        elif isinstance(value, (list, tuple)):
            stages = value
    phase = numbers[0] if numbers else phase
    level = numbers[1] if len(numbers) > 1 else level
    if phase not in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        raise InputError(f"Net: the phase must be TRAIN or TEST. Received: {phase}.")
    return phase, level, stages, weights


def _read(network: Any, variables: Mapping[str, str] | None) -> tuple[caffe_pb2.NetParameter, dict[str, str]]:
    """The message of a net, old notations upgraded, and where each of its layers stands in its file."""
    if isinstance(network, caffe_pb2.NetParameter):
        copy = caffe_pb2.NetParameter()
        copy.CopyFrom(network)
        places = layer_places(network)
        upgrade_net(copy)
    else:
        copy = read_net(network, variables)
        places = layer_places(copy)
    named = zip([layer.name for layer in copy.layer], places, strict=False) if len(places) == len(copy.layer) else ()
    return copy, dict(named)


def _placed(message: str, places: Mapping[str, str]) -> str:
    """The message with the file and line of the layer it names, where they are known."""
    match = re.match(r'layer "([^"]*)"', message)
    place = places.get(match.group(1), "") if match else ""
    return f"{place}: {message}" if place else message


def _loss_weights(node: Node, num_top: int) -> list[float]:
    given = list(node.param.loss_weight)
    if given and len(given) != num_top:
        raise GraphError(
            f"{node.where}: loss_weight needs one value for each of its {num_top} tops. Received: {len(given)}."
        )
    if not given and node.cls.loss:
        given = [1.0]
    return given + [0.0] * (num_top - len(given))
