"""Options of forks in a net: those that change the result and are not built are refused, the others told of once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from segcaffe.errors import GraphError
from segcaffe.graph.graph import Graph, Node
from segcaffe.proto.fork_options import Effect, Found, find
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.unknown import sentences

_log = logging.getLogger("segcaffe")
_SHOWN = 20


def check(graph: Graph, net: PlacedNet, *, tolerant: bool = False) -> list[str]:
    """Log which options of other Caffes the net sets that do nothing here, once each.

    Raises GraphError for those that would change the result, all of them in one message; where ``tolerant`` they are
    passed over. Returns a sentence for each option that was, those among them that reading the file passed over.
    """
    of_layers = [(node, option) for node in graph.nodes for option in _of(node)]
    missing = [(node, option) for node, option in of_layers if option.effect is Effect.MISSING]
    if missing and not tolerant:
        raise _refused(missing)
    passed_over = sentences(net.passed_over)
    passed_over += [f"{node.where}: {option.path}: {option.value} {option.effect.value}" for node, option in missing]
    if passed_over:
        _log.warning("Passed over: %s", "; ".join(passed_over))
    found = [*find(net.message, ("state",)), *(option for _, option in of_layers)]
    for effect in (Effect.ENGINE, Effect.TRAINING):
        told = [option for option in found if option.effect is effect]
        if told:
            _log.warning("Options of other Caffes %s: %s", effect.value, _counted(told))
    return passed_over


def _of(node: Node) -> Iterable[Found]:
    return find(node.param, node.cls.option_fields(), node.cls.fork_options)


def _refused(missing: list[tuple[Node, Found]]) -> GraphError:
    lines = [
        f"{f'{node.place}: ' if node.place is not None else ''}{node.where}: {option.path}: {option.value}"
        for node, option in missing
    ]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return GraphError(
        "these options are of other Caffes, would change the result, and are not built here. Remove them, or look at "
        "the net without them: `segcaffe net FILE --tolerant`, in Python Net(..., tolerant=True). "
        "Received: " + "; ".join(lines[:_SHOWN] + more) + ".",
        layer=missing[0][0].name,
    )


def _counted(found: Iterable[Found]) -> str:
    """The options, each value once: ``convolution_param.engine: MKL2017 (12 times)``."""
    counts = Counter(f"{option.path}: {option.value}" for option in found)
    shown = [f"{text} ({count} times)" if count > 1 else text for text, count in counts.items()]
    more = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return ", ".join(shown[:_SHOWN] + more)
