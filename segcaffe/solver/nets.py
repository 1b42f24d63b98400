"""The nets a solver names: one to train, any number to test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segcaffe.errors import GraphError, PrototxtError
from segcaffe.graph.rules import uses_states
from segcaffe.net.net import Net
from segcaffe.parallel import group
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter, NetState, Phase, SolverParameter
from segcaffe.proto.encoding import to_native
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import read_net
from segcaffe.solver.divide import divide_batches

_log = logging.getLogger("segcaffe")
Variables = Mapping[str, str] | None
_WHICH_STATE = (
    "Levels and stages reach the training net as train_state of the solver, `segcaffe train --level` and --stage; they "
    "reach the test nets as test_state, once for each test net."
)
Options = Mapping[str, Any] | None
"""Keyword arguments of `Net` that say how it runs."""


@dataclass(frozen=True)
class Source:
    """A net as a solver names it: the field of the solver, and the message or the path of its file."""

    field: str
    value: NetParameter | str

    def load(self, variables: Variables) -> PlacedNet:
        """Return the net, read from the file where there is one."""
        if isinstance(self.value, str):
            return read_net(to_native(self.value), variables)
        return PlacedNet.upgraded(self.value)


def build_train_net(param: SolverParameter, variables: Variables = None, options: Options = None) -> Net:
    """Build the net that the solver trains. PrototxtError unless exactly one field names it."""
    source = train_source(param)
    _log.info("Creating training net%s.", _described(source, ": "))
    net = source.load(variables)
    net.message.debug_info |= param.debug_info
    return _build(net, TRAIN, param.train_state, variables, options)


def train_source(param: SolverParameter) -> Source:
    """Return the net to train as the solver names it. PrototxtError unless exactly one field does."""
    sources = [
        Source(field, getattr(param, field))
        for field in ("train_net_param", "train_net", "net_param", "net")
        if param.HasField(field)
    ]
    if len(sources) != 1:
        received = ", ".join(source.field for source in sources) or "none"
        raise PrototxtError(
            "Solver: exactly one of net, net_param, train_net and train_net_param names the net to train. "
            f"Received: {received}."
        )
    return sources[0]


def build_test_nets(param: SolverParameter, variables: Variables = None, options: Options = None) -> list[Net]:
    """Build the nets that the solver tests: test_net_param, then test_net, then net for what test_iter is left."""
    sources = test_sources(param)
    states = test_states(param, sources)
    nets = []
    for index, (source, state) in enumerate(zip(sources, states, strict=True)):
        _log.info("Creating test net (#%d)%s", index, _described(source, " specified by "))
        nets.append(_build(source.load(variables), TEST, state, variables, options))
    return nets


def test_states(param: SolverParameter, sources: Sequence[Source]) -> list[NetState]:
    """Return the state of each test net. PrototxtError where their number is not that of the nets."""
    states = list(param.test_state) or [NetState()] * len(sources)
    if len(states) != len(sources):
        raise PrototxtError(
            "Solver: test_state is given once for each test net, or not at all. "
            f"Received: {len(states)} for {len(sources)} test nets."
        )
    return states


def test_sources(param: SolverParameter) -> list[Source]:
    """Return the nets to test as the solver names them. PrototxtError where test_iter is not given once for each."""
    sources = [Source("test_net_param", net) for net in param.test_net_param]
    sources += [Source("test_net", path) for path in param.test_net]
    left = len(param.test_iter) - len(sources)
    general = [Source(field, getattr(param, field)) for field in ("net_param", "net") if param.HasField(field)]
    if left < 0 or (left > 0 and not general):
        raise PrototxtError(
            "Solver: test_iter is given once for each test net. "
            f"Received: {len(param.test_iter)} for {len(sources)} test nets."
        )
    sources += general[:1] * left
    if any(param.test_iter) and param.test_interval <= 0:
        raise PrototxtError(
            f"Solver: with test nets, test_interval must be positive. Received: {param.test_interval}; "
            "add `test_interval: ...`, or remove test_iter."
        )
    return sources


def _build(net: PlacedNet, phase: Phase, state: NetState, variables: Variables, options: Options) -> Net:
    """Build a net in the state that the phase, the net's own state and the solver's give, the later ones prevailing."""
    merged = NetState(phase=phase)
    merged.MergeFrom(net.message.state)
    merged.MergeFrom(state)
    stages = list(merged.stage)
    if phase == TRAIN and group().options.divide_batch:
        net = divide_batches(net, merged, group().size)
    try:
        return Net(net, phase=merged.phase, level=merged.level, stages=stages, variables=variables, **(options or {}))
    except GraphError as error:
        if not uses_states(net.message):
            raise
        which = "training" if phase == TRAIN else "test"
        told = f"The {which} net cannot be built: {error} {_WHICH_STATE}"
        raise GraphError(told, layer=error.layer) from error


def _described(source: Source, between: str) -> str:
    return f"{between}{source.field} {source.value}" if isinstance(source.value, str) else f"{between}{source.field}"
