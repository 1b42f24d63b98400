"""A net's message together with the places of its layers in the file it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from segcaffe.errors import Place, about_layer
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.unknown import UnknownOption
from segcaffe.proto.upgrade import upgrade_net


@dataclass(frozen=True)
class PlacedNet:
    """A net's message, and for each of its layers where it stands in its file (None: that is not known).

    ``passed_over`` are options in the file that are not known, where a reader was to be tolerant of them.
    """

    message: NetParameter
    places: Sequence[Place | None]
    passed_over: Sequence[UnknownOption] = ()

    @classmethod
    def of(cls, net: NetParameter) -> PlacedNet:
        """Take a net that comes from no file."""
        return cls(net, [None] * len(net.layer))

    @classmethod
    def upgraded(cls, net: NetParameter) -> PlacedNet:
        """Take a copy of such a net, of whatever age, in today's notation."""
        copy = NetParameter()
        copy.CopyFrom(net)
        return cls.of(upgrade_net(copy))

    def about(self, index: int) -> AbstractContextManager[None]:
        """What goes wrong meanwhile is about the layer of that index."""
        return about_layer(self.message.layer[index].name, self.places[index])
