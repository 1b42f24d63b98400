"""The net that was made, looked at: values for the layers that were put in, and which of them run as one."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.blob.proto import to_proto
from segcaffe.errors import SegcaffeError
from segcaffe.fusion.fuse import fuse
from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.graph.graph import build_graph
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter, NetState
from segcaffe.proto.placed import PlacedNet
from segcaffe.surgery.grids import Known, set_up
from segcaffe.weights.loading import check_weights, copy_weights


def new_weights(
    net: PlacedNet,
    own: set[str],
    given: Sequence[LayerParameter],
    states: Sequence[NetState],
    known: Known,
) -> NetParameter:
    """Weights of the layers that were put in: those given, the embeddings', else as fillers make them.

    Also sets up the net up to there, as a check, of the net's own weights, too. SegcaffeError where anything does not
    fit.
    """
    layers = net.message.layer
    new = {layer.name for layer in layers} - own
    wanted = {
        top for layer in layers for top in layer.top if layer.name in new or layer.convolution_param.bottom_is_im2col
    }
    found: dict[str, LayerParameter] = {}
    for state in states:
        built = set_up(net, state, wanted, known, new)
        if given:
            copy_weights(built.layer_list, NetParameter(layer=given), "the embeddings' weights")
        for stored in known.weights:
            check_weights(built.layer_list, stored, "the net's weights")
        for layer in built.layer_list:
            if layer.name in new and layer.blobs:
                blobs = [to_proto(blob) for blob in layer.blobs]
                found.setdefault(layer.name, LayerParameter(name=layer.name, type=layer.param.type, blobs=blobs))
    return NetParameter(layer=found.values())


def written_out(net: PlacedNet, states: Sequence[NetState]) -> list[str]:
    """Names of the convolutions of masked columns that do not run without them in any of the states.

    None where the net as a whole, parts of it that have nothing to do with masks, does not fit together in a state.
    """
    fused = set[str]()
    for state in states:
        try:
            nodes = fuse(build_graph(net, state)).nodes
        except SegcaffeError:
            return []
        fused |= {node.name for node in nodes if node.cls is MaskedConvolution}
    masked = (layer.name for layer in net.message.layer if layer.convolution_param.bottom_is_im2col)
    return [name for name in dict.fromkeys(masked) if name not in fused]
