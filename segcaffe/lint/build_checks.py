"""Whether nets can be built at all, as far as one can tell without their data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segcaffe.errors import SegcaffeError
from segcaffe.graph.graph import build_graph
from segcaffe.lint.finding import Finding
from segcaffe.proto.caffe_pb2 import NetState, SolverParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.solver.nets import test_sources, test_states, train_source

_NETS = ("net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param")


def connections(net: PlacedNet, state: NetState, path: Path) -> Iterator[Finding]:
    """Layers that do not form a net in a state: a bottom nobody makes, an unknown type, a top made twice."""
    try:
        build_graph(net, state)
    except SegcaffeError as error:
        yield Finding(
            "not-built",
            str(error.place or path),
            _sentence(error),
            "The net cannot be built: the run stops before its first iteration.",
            "the layer, the name or the rule that is missing; a solver's states are train_state and test_state.",
        )


def unknown_options(net: PlacedNet) -> Iterator[Finding]:
    """Options that reading the net passed over, since they are not known."""
    for option in net.passed_over:
        yield Finding(
            "unknown-option",
            str(option.place),
            option.text(),
            "The net cannot be built but by passing over it: `segcaffe net FILE --tolerant`.",
            option.hint.strip() or "the option's name as this Caffe has it, or nothing.",
        )


def nets_of(solver: SolverParameter, where: str) -> Iterator[Finding]:
    """A solver that names too many nets; test nets, iterations and states whose numbers do not agree.

    One without a net is none: `segcaffe train --model` may give it.
    """
    if not any(field.name in _NETS for field, _ in solver.ListFields()):
        return
    try:
        train_source(solver)
        test_states(solver, test_sources(solver))
    except SegcaffeError as error:
        yield Finding(
            "no-net",
            where,
            _sentence(error),
            "The run stops before its first iteration.",
            'net: "FILE", and with test_iter a test_interval.',
        )


def missing(name: str, where: str) -> Finding:
    """A net that the solver names, whose file is not there."""
    return Finding(
        "no-net",
        where,
        f"there is no file {name}, neither from this folder nor beside the solver; the net was not looked at.",
        "The run stops before its first iteration. Paths are those from the folder that the run starts in.",
        "the path from that folder.",
    )


def unreadable(error: SegcaffeError, where: str) -> Finding:
    """A net's file that is not there or cannot be read."""
    return Finding(
        "not-built",
        str(error.place or where),
        _sentence(error),
        "The run stops before its first iteration.",
        "what the message asks for.",
    )


def _sentence(error: SegcaffeError) -> str:
    """What an error says, without the place."""
    return " ".join(error.text().split())
