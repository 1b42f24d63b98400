"""Versions of blobs: what a layer leaves in its top, which a layer in place overwrites later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from segcaffe.errors import Place
from segcaffe.graph.graph import Node
from segcaffe.net.net import Net


@dataclass(frozen=True)
class Spot:
    """The value that a layer gives one of its tops.

    Attributes
    ----------
    layer, top:
        The layer's index in the net, and the top's in the layer.
    value:
        What the exported file calls it.
    blob:
        Its name in the net.
    node:
        The layer.
    """

    layer: int
    top: int
    value: str
    blob: str
    node: Node

    @property
    def place(self) -> Place | None:
        """Where the layer stands."""
        return self.node.place

    def __str__(self) -> str:
        """``net.prototxt:30: layer "pool1" (Pooling), blob "pool1"``."""
        place = f"{self.place}: " if self.place else ""
        return f'{place}{self.node.where}, blob "{self.blob}"'


def spots(net: Net, values: Mapping[tuple[int, int], str]) -> list[Spot]:
    """All that the file has a name for, in the order in which the net makes them.

    ``values`` has the names, by the layer's index and the top's number: two layers may have one name.
    """
    return list(_spots(net, values))


def _spots(net: Net, values: Mapping[tuple[int, int], str]) -> Iterator[Spot]:
    for index, node in enumerate(net.graph.nodes):
        for top, blob in enumerate(node.tops):
            name = values.get((index, top))
            if name is not None:
                yield Spot(index, top, name, net.graph.blob_names[blob], node)
