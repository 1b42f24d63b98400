"""Which distance a layer's options ask for."""

from __future__ import annotations

from segcaffe.kernels.distance.registry import L1, L2, Distance, find_distance, unknown_distance
from segcaffe.layers.base import Layer
from segcaffe.proto.caffe_pb2 import Im2distParameter, NormConvParameter


def distance_of(layer: Layer, options: Im2distParameter | NormConvParameter) -> Distance:
    """The distance of ``norm``, L1 or L2 (the default), or of the name in ``distance``. Raises ShapeError."""
    if not options.distance:
        return L1 if options.norm == type(options).L1 else L2
    if options.HasField("norm"):
        raise layer.fail("give norm or distance, not both", f"distance: {options.distance}")
    found = find_distance(options.distance)
    if found is None:
        raise layer.fail(unknown_distance(options.distance))
    return found
