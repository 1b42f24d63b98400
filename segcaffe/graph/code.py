"""A net without the layers that are code of its own, for those who only look at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcaffe.graph.rules import filter_net
from segcaffe.layers.registry import find_class
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter, NetState
from segcaffe.proto.placed import PlacedNet
from segcaffe.trust.modules import Code


@dataclass(frozen=True)
class Looked:
    """What is known of a net without running its code.

    Attributes
    ----------
    net:
        Its layers but for those left out.
    code:
        The layers that are code, with that code: the shapes of what they make are not known.
    after:
        The layers that read blobs of unknown shape.
    """

    net: PlacedNet
    code: list[tuple[LayerParameter, Code]] = field(default_factory=list)
    after: list[LayerParameter] = field(default_factory=list)

    @property
    def left_out(self) -> list[LayerParameter]:
        """All layers that were left out."""
        return [*(layer for layer, _ in self.code), *self.after]

    @property
    def unknown(self) -> set[str]:
        """The blobs whose shapes are not known."""
        return {name for layer in self.left_out for name in layer.top}

    @property
    def read(self) -> set[str]:
        """The blobs that the layers left out would read."""
        return {name for layer in self.left_out for name in layer.bottom}


def without_code(net: PlacedNet, state: NetState) -> Looked:
    """The layers that a net has in a state, but for those that run code of the net's own and what follows from them."""
    whole = filter_net(net, state)
    message = NetParameter()
    message.CopyFrom(whole.message)
    del message.layer[:]
    looked = Looked(PlacedNet(message, places := [], net.passed_over))
    unknown: set[str] = set()
    for layer, place in zip(whole.message.layer, whole.places, strict=True):
        code = find_class(layer.type).code(layer)
        if code is None and unknown.isdisjoint(layer.bottom):
            message.layer.append(layer)
            places.append(place)
            unknown.difference_update(layer.top)
            continue
        unknown.update(layer.top)
        if code is None:
            looked.after.append(layer)
        else:
            looked.code.append((layer, code))
    return looked
