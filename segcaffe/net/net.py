"""The running net: what happens when it is built, and when it runs forward and backward, in the order it happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.device.memory import out_of_memory
from segcaffe.errors import GraphError, InputError, SegcaffeError, about_layer
from segcaffe.fusion.blocked import block_channels, choose_order
from segcaffe.fusion.fold import fold
from segcaffe.fusion.fuse import fuse as fuse_graph
from segcaffe.fusion.running import activate
from segcaffe.fusion.sums import join_sums
from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.net import arguments, foreign_options, position
from segcaffe.net.arena import Arena, plan_net
from segcaffe.net.building import build
from segcaffe.net.parts import Step, no_room
from segcaffe.net.pycaffe import PycaffeMembers
from segcaffe.net.recorded import Recorder
from segcaffe.net.replay import Replay, replay_wanted
from segcaffe.net.scouting import compiling_ahead, warm_up
from segcaffe.plan.memory import MemoryPlan
from segcaffe.plan.recompute import names_of
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet

_log = logging.getLogger("segcaffe")
Arrays = dict[str, np.ndarray[Any, Any]]


class Net(PycaffeMembers):
    """A net built from a prototxt file or a NetParameter.

    Parameters
    ----------
    network_file:
        Path of a prototxt file, or a `NetParameter`; a `PlacedNet` where errors are to say where layers stand.
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
        in between are then computed when they are read, and what is written into them is not used. BatchNorm, BN,
        Scale, ReLU and PReLU become part of the convolution before them, unless debug_info asks for each layer's values
        (see `segcaffe.fusion.fold`); where nothing learns so does an Eltwise that adds another blob to it
        (`segcaffe.fusion.sums`).
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
    weights_dtype:
        "float16" to keep the weights of Convolution and InnerProduct in half precision, in half the memory, for nets in
        phase TEST; everything is still computed in float32. A weight becomes rounded by the next pass after it was
        loaded or written: it changes by a part of 2^-11 at most, and by 2^-25 if it is below 2^-14. Weights beyond
        65504, and those whose array somebody holds, stay as they are.
    tolerant:
        Whether options of the file that are not known, and those of other Caffes that are not built here, are passed
        over and logged; otherwise they are an error.

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
    passed_over:
        Sentences on the options that were passed over, where the net is ``tolerant``.
    settings:
        How this net's passes are computed on a GPU; None for the process's settings (`segcaffe.device.configure`).
    """

    def __init__(
        self,
        network_file: str | Path | caffe_pb2.NetParameter | PlacedNet,
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
        tolerant: bool = False,
        weights_dtype: Any = None,
    ) -> None:
        phase, level, stages, weights = arguments.sort_out(args, phase, level, stages, weights)
        net = arguments.read(network_file, variables, tolerant)
        graph = build_graph(net, net_state(phase, level, [*net.message.state.stage, *(stages or ())]))
        passed_over = foreign_options.check(graph, net, tolerant=tolerant)
        if fuse:
            graph = fuse_graph(graph)
        # See `backward_from_to`.
        backward = phase != caffe_pb2.TEST or not share_memory
        if fuse and not net.message.debug_info:
            graph = fold(graph, backward)
        if fuse and not net.message.debug_info and device.get_mode() == "CPU":
            # On a GPU passes are replayed, which would not note that a blob is computed when it is read.
            graph = join_sums(graph, keep, backward)
            graph = block_channels(graph, keep, backward)
        super().__init__(build(graph, phase, np.dtype(dtype)))
        self._half_weights = False
        self.keep_weights_as(weights_dtype)
        self.passed_over = passed_over
        self.debug_info = net.message.debug_info
        self.settings: device.Settings | None = None
        self.loss = 0.0
        self._keep, again = frozenset(keep), names_of(recompute)
        shares = share_memory or (again and self._parts.learns)
        self._arena = Arena(self._parts, self._keep, again) if shares else None
        self._graphs: dict[str, Replay] = {}
        recorded = self.phase == caffe_pb2.TEST and not (shares and self._parts.learns)
        self._recorder = Recorder(self._parts.steps) if recorded else None
        self._output_blobs = [(name, self.blobs[name]) for name in self.outputs]
        self._told_of_gradients = False
        self._at: Step | None = None
        if weights is not None:
            self.copy_from(weights)

    def keep_weights_as(self, dtype: Any) -> None:
        """Keep weights in half precision from the next pass on, or no longer: ``weights_dtype`` of a net that exists.

        InputError for a type, or a net, for which this cannot be asked.
        """
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        can = wanted == np.float16 and self.dtype == np.float32 and self.phase == caffe_pb2.TEST
        if wanted != self.dtype and not can:
            raise InputError(
                "Net: weights_dtype is float16, for a net of float32 in phase TEST, or None. "
                f"Received: {wanted.name}, for {self.dtype.name} in phase {caffe_pb2.Phase.Name(self.phase)}."
            )
        self._half_weights = wanted == np.float16

    # Running forward.

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> Arrays:
        """Run layers ``start`` to ``end`` (default: all) and return output arrays by name.

        Parameters
        ----------
        blobs:
            Names of blobs to return besides the outputs.
        inputs:
            Values of input blobs by name, copied in first; shapes must match.
        """
        if not (inputs or blobs or start or end) and self._played():
            return {name: blob.data for name, blob in self._output_blobs}
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self.layer_list) - 1
        names = dict.fromkeys(self.top_names[end] if end is not None else self.outputs) | dict.fromkeys(blobs or ())
        wanted = {name: self.blobs[name] for name in names}
        if inputs and set(inputs) != set(self.inputs):
            raise InputError(f"forward: the net's inputs are {self.inputs}. Received: {sorted(inputs)}.")
        for name, values in inputs.items():
            arguments.put(values, self.blobs[name], "data", f'forward: input "{name}"')
        self.forward_from_to(first, last)
        return {name: blob.data for name, blob in wanted.items()}

    def _played(self) -> bool:
        """Play the whole net's recorded pass if that is all there is to do; whether it was."""
        if self._recorder is None or self._before_forward or self._after_forward:
            return False
        try:
            if not self._recorder.replayed():
                return False
        except MemoryError:
            # The layers say what for.
            return False
        self.loss = 0.0
        return True

    def forward_from_to(self, first: int, last: int) -> float:
        """Run layers ``first`` to ``last`` (indices, both included); returns and keeps the sum of weighted losses.

        A pass that was recorded is replayed: on a GPU, and of a net in phase TEST on the CPU (`net.recorded`).
        Otherwise each layer is reshaped if its bottoms' shapes have changed, and run; hooks are called around it, and
        its losses are added.
        """
        watched = bool(self._before_forward or self._after_forward)
        activate(self.graph, self.layer_list, first, last, watched)
        if self._half_weights and device.get_mode() == "CPU":
            for layer in self.layer_list:
                if layer.half_weights:
                    layer.blobs[0].buffer("data").narrow()
        with self._running(), self._compiling_ahead():
            if self._replays(first, last, watched):
                self._replay("forward", range(len(self.layer_list)))
                self.loss = sum(step.loss() for step in self._parts.steps)
                return self.loss
            self._graphs.clear()
            if self._arena is not None:
                self._arena.begin()
            if self._recorder is not None and not watched and last - first == len(self.layer_list) - 1:
                order = partial(choose_order, self.graph, self.blob_list, allowed=device.get_mode() == "CPU")
                self.loss = self._recorder.run(self._forward_layer, order)
                return self.loss
            choose_order(self.graph, self.blob_list, allowed=False)
            loss = 0.0
            for i in range(first, last + 1):
                self._at = self._parts.steps[i]
                for hook in self._before_forward:
                    hook(i)
                self._forward_layer(i)
                loss += self._parts.steps[i].loss()
                for hook in self._after_forward:
                    hook(i)
        self.loss = loss
        return loss

    def _forward_layer(self, i: int) -> None:
        """Run one layer forward, reshaped first if a bottom's shape has changed."""
        position.now = i, len(self.layer_list), False
        step = self._at = self._parts.steps[i]
        if step.fit():
            self._graphs.clear()
        step.layer.forward(step.bottom, step.top)
        if self._arena is not None:
            self._arena.release_saved(i)

    def reshape(self) -> None:
        """Carry changed shapes of the inputs through all layers."""
        self._graphs.clear()
        for step, node in zip(self._parts.steps, self.graph.nodes, strict=True):
            with about_layer(node.name, node.place):
                try:
                    step.reshape()
                except MemoryError as error:
                    raise no_room(node, step.top, error) from error
        if self._arena is not None:
            self._arena.lay_out()

    # Running backward.

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> Arrays:
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
        first = self._index(start) if start is not None else len(self.layer_list) - 1
        last = self._index(end) if end is not None else 0
        diffs = list(diffs or ())
        names = dict.fromkeys(self.bottom_names[end] if end is not None else self.inputs) | dict.fromkeys(diffs)
        wanted = {name: self.blobs[name] for name in names}
        for name, values in tops.items():
            arguments.put(values, self.blobs[name], "diff", f'backward: the gradient of "{name}"')
        self.backward_from_to(first, last)
        self._tell_of_gradients(diffs, bool(tops), first, last)
        return {name: blob.diff for name, blob in wanted.items()}

    def backward_from_to(self, first: int, last: int, done: Callable[[int], None] | None = None) -> None:
        """Run the backward passes of layers ``first`` down to ``last`` (indices, both included) that have one.

        On a GPU a pass that was recorded is replayed. Otherwise, for each layer, the values that it reads are computed
        again where they were not kept, and hooks are called around it. ``done`` is told the index of each layer down to
        which passes have been run; other than a hook it may not look at blobs of the net, only at parameters, and
        layers are fused as without it.
        """
        if self.shares_memory and self.phase == caffe_pb2.TEST and not self._parts.learns:
            raise GraphError(
                "The net's blobs share memory, so the values that a backward pass needs are gone. Build it with "
                "share_memory=False, or with force_backward: true in its prototxt."
            )
        watched = bool(self._before_backward or self._after_backward)
        activate(self.graph, self.layer_list, last, first, watched)
        order = [i for i in range(first, last - 1, -1) if self.layer_needs_backward[i]]
        with self._running(", backward"):
            if self._replays(first, last, watched):
                self._replay("backward", order)
                if done is not None and order:
                    done(order[-1])
                return
            for i in order:
                self._backward_layer(i)
                if done is not None:
                    done(i)

    def _backward_layer(self, i: int) -> None:
        """Run one layer backward, with the values that it reads, and its hooks."""
        step = self._at = self._parts.steps[i]
        if self._arena is not None:
            for dropped in self._arena.dropped(i):
                self._at = dropped
                dropped.layer.recompute(dropped.bottom, dropped.top)
            self._at = step
        for hook in self._before_backward:
            hook(i)
        position.now = i, len(self.layer_list), True
        step.backward()
        if self._arena is not None:
            self._arena.release_saved(i)
        for hook in self._after_backward:
            hook(i)

    def _tell_of_gradients(self, asked: Iterable[str], given: bool, first: int, last: int) -> None:
        """Warn, once, of gradients that were asked for and that no layer computes; of all where none runs backward.

        Where output gradients were ``given``, those of the inputs, or of one of them, are what is asked for.
        """
        if self._told_of_gradients or self.graph.force_backward:
            return
        missing = self._parts.missing_gradients(asked, first, last)
        inputs = self._parts.missing_gradients(self.inputs, first, last)
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

    @contextmanager
    def _running(self, way: str = "") -> Iterator[None]:
        """Let the net's settings hold, and have errors say which layer ran; ``way`` is ", backward" or empty."""
        self._at = None
        try:
            with device.using(self.settings):
                yield
        except MemoryError as error:
            if self._at is None:
                raise out_of_memory(f'net "{self.name}"', error) from error
            raise no_room(self._at.node, self._at.top, error, way) from error
        except SegcaffeError as error:
            if self._at is not None:
                error.about(self._at.node.name, self._at.node.place)
            raise

    def warm_up(self, processes: int | None = None) -> int:
        """Compile the CPU's kernels that forward passes need, in several processes, and make some.

        Parameters
        ----------
        processes:
            How many; None means as many as kernels use threads.

        Returns
        -------
        How many functions were compiled; those that earlier runs have left are not.
        """
        return warm_up(self._parts.steps, self.forward, processes)

    def _compiling_ahead(self) -> AbstractContextManager[None]:
        """Have kernels of a net in phase TEST that must be compiled for the CPU be compiled several at a time."""
        known = self.phase == caffe_pb2.TEST and device.get_mode() == "CPU"
        return compiling_ahead(self._parts.steps) if known else nullcontext()

    # On a GPU: recorded passes.

    def _replays(self, first: int, last: int, watched: bool) -> bool:
        """Whether a pass over these layers is to be replayed: one over the whole net, without hooks."""
        recomputes = self._arena is not None and self._arena.recomputed
        return replay_wanted() and not recomputes and abs(last - first) == len(self.layer_list) - 1 and not watched

    def _replay(self, direction: str, order: Sequence[int]) -> None:
        run_layer = self._backward_layer if direction == "backward" else self._forward_layer
        replay = self._graphs.get(direction)
        if replay is None or replay.settings != device.settings():
            replay = self._graphs[direction] = Replay(self._parts.steps, order, run_layer, direction == "backward")
        replay.run()

    # Memory.

    def plan_memory(self, recompute: str | Sequence[str] | None = None) -> MemoryPlan:
        """Return which blobs share memory, or could, and what the net takes then; also with another ``recompute``."""
        if recompute or self._arena is None:
            return plan_net(self._parts, self._keep, names_of(recompute))
        return self._arena.plan

    @property
    def shares_memory(self) -> bool:
        """Whether blobs use the same memory by turns."""
        return self._arena is not None
