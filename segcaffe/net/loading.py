"""Bringing weights of a file into a net: layers by name, blobs by index."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from segcaffe.blob.proto import array_of, same_shape, shape_of
from segcaffe.errors import WeightsError
from segcaffe.layers.base import Layer
from segcaffe.proto import caffe_pb2

log = logging.getLogger("segcaffe")


def copy_weights(layers: Sequence[Layer], source: caffe_pb2.NetParameter, where: str) -> None:
    """Copy blobs into the layers of the same names, once all of them are known to fit.

    Layers that the file does not have keep their values; layers that the net does not have are passed over, with a
    line in the log. WeightsError names layer, index, both shapes and the remedy.
    """
    by_name: dict[str, list[Layer]] = {}
    for layer in layers:
        by_name.setdefault(layer.name, []).append(layer)
    stored = [message for message in source.layer if message.blobs]
    for message in stored:
        for layer in by_name.get(message.name, ()):
            _check(layer, message, where)
    matched = 0
    for message in stored:
        if message.name not in by_name:
            log.info("Ignoring source layer %s", message.name)
        for layer in by_name.get(message.name, ()):
            matched += 1
            for index, (blob, stored_blob) in enumerate(zip(layer.blobs, message.blobs, strict=False)):
                if _stored_by_owner(layer, index, message):
                    continue
                values = array_of(stored_blob, f"{where}: layer {message.name!r} blob {index}")
                blob.data[...] = values.reshape(blob.shape)
    if stored and not matched and any(layer.blobs for layer in layers):
        log.warning(
            "%s: none of its %d layers with weights has the name of a layer of the net; nothing was loaded.",
            where,
            len(stored),
        )


def _check(layer: Layer, message: caffe_pb2.LayerParameter, where: str) -> None:
    last = max(len(layer.blobs), len(message.blobs)) - 1
    if len(layer.blobs) != len(message.blobs) and not _stored_by_owner(layer, last, message):
        raise WeightsError(
            f"{where}: {layer.where} has {len(layer.blobs)} parameters, the file {len(message.blobs)}. "
            "Check options such as bias_term, or rename the layer to keep its initial values."
        )
    for index, (blob, stored) in enumerate(zip(layer.blobs, message.blobs, strict=False)):
        if not _stored_by_owner(layer, index, message) and not same_shape(blob.shape, stored):
            raise WeightsError(
                f"{where}: parameter {index} of {layer.where} has shape {shape_of(stored)} in the file and "
                f"{blob.shape} in the net. To learn it from scratch, rename the layer; otherwise make the shapes equal."
            )


def _stored_by_owner(layer: Layer, index: int, message: caffe_pb2.LayerParameter) -> bool:
    """Whether the file leaves out a shared parameter because another layer owns it, as HDF5 files do."""
    named = index < min(len(layer.param.param), len(layer.blobs)) and bool(layer.param.param[index].name)
    return named and not (index < len(message.blobs) and message.blobs[index].ByteSize())
