"""Dividing the batches of a net among ranks, as NVIDIA's Caffe does."""

from __future__ import annotations

from segcaffe.errors import GraphError
from segcaffe.graph.rules import filter_net
from segcaffe.layers.registry import layer_class
from segcaffe.proto.caffe_pb2 import NetState
from segcaffe.proto.placed import PlacedNet


def divide_batches(net: PlacedNet, state: NetState, size: int) -> PlacedNet:
    """Return the net in that state with ``batch_size`` divided by the number of ranks in every layer that brings data.

    GraphError, which names the layer, where a batch cannot be divided.
    """
    kept = filter_net(net, state)
    for index, layer in enumerate(kept.message.layer):
        with kept.about(index):
            cls = layer_class(layer.type, layer.name)
            for field in cls.option_fields() if cls.source else ():
                options = getattr(layer, field)
                if "batch_size" not in options.DESCRIPTOR.fields_by_name or not layer.HasField(field):
                    continue
                if options.batch_size % size:
                    raise GraphError(
                        f'layer "{layer.name}" ({layer.type}): batch_size is divided among {size} ranks '
                        f"(--divide-batch), and must be a multiple of that. Received: {options.batch_size}."
                    )
                options.batch_size //= size
    return kept
