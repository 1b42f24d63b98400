"""Which layers run backward, and to which of their bottoms: everything else is pruned."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from segcaffe.errors import GraphError
from segcaffe.graph.graph import Graph

_log = logging.getLogger("segcaffe")


@dataclass
class BackwardPlan:
    """For each node: whether it runs backward, and for each of its bottoms whether the gradient is wanted."""

    layers: list[bool]
    bottoms: list[list[bool]]


class BackwardPlanner:
    """Decides about backward passes while the net is built, layer by layer, and then for the net as a whole.

    A gradient is needed by every parameter with a learning rate, flows down to such a parameter from a loss, and
    nowhere else, unless ``force_backward`` or ``propagate_down`` say otherwise. What ``propagate_down`` switches is the
    one bottom: it makes no layer run backward that would not, and the gradient still comes down to where it ends.
    Bottoms that a layer passes over, such as the reference of a Crop, are as if propagate_down were false for them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.blob_needs = [False] * len(graph.blob_names)
        self.plan = BackwardPlan([], [])
        self.ends: list[int] = []
        """Layers that could hand on a gradient to no bottom, though layers below learn."""

    def visit(self, index: int, params_learn: bool) -> None:
        """Take in node ``index``; ``params_learn`` says whether any of its parameters has a learning rate."""
        node = self.graph.nodes[index]
        wanted = [self.blob_needs[blob] for blob in node.bottoms]
        needs = any(wanted) or params_learn
        if node.param.propagate_down:
            if len(node.param.propagate_down) != len(node.bottoms):
                raise GraphError(
                    f"{node.where}: propagate_down needs one value for each of its {len(node.bottoms)} bottoms. "
                    f"Received: {len(node.param.propagate_down)}."
                )
            wanted = list(node.param.propagate_down)
        given = [one and not node.cls.passes_over(j) for j, one in enumerate(wanted)]
        if any(wanted) and node.cls.gradient_to == () and not any(given):
            self.ends.append(index)
        self.plan.bottoms.append(given)
        self.plan.layers.append(needs)
        if needs:
            for blob in node.tops:
                self.blob_needs[blob] = True

    def finish(self, has_loss: list[list[bool]]) -> BackwardPlan:
        """Drop what no loss depends on, then apply force_backward; ``has_loss`` tells for each top of each node."""
        under_loss: set[int] = set()
        skipped: set[int] = set()
        for i in reversed(range(len(self.graph.nodes))):
            node = self.graph.nodes[i]
            contributes = any(loss or blob in under_loss for loss, blob in zip(has_loss[i], node.tops, strict=True))
            if not contributes or all(blob in skipped for blob in node.tops):
                self.plan.layers[i] = False
                self.plan.bottoms[i] = [False] * len(node.bottoms)
            for blob, wanted in zip(node.bottoms, self.plan.bottoms[i], strict=True):
                if contributes:
                    under_loss.add(blob)
                if not wanted:
                    skipped.add(blob)
        for i in self.ends:
            if self.plan.layers[i]:
                _log.warning(
                    "%s has no gradient, as in the original: what is below it learns nothing through it.",
                    self.graph.nodes[i].where,
                )
        if self.graph.force_backward:
            self._force()
        return self.plan

    def _force(self) -> None:
        for i, node in enumerate(self.graph.nodes):
            self.plan.layers[i] = True
            self.plan.bottoms[i] = [
                wanted or node.cls.allows_gradient(j) for j, wanted in enumerate(self.plan.bottoms[i])
            ]
