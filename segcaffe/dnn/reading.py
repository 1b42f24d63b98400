"""Reading nets: `readNetFromCaffe`, and `readNet`, which takes files in any order."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from segcaffe.convert import formats
from segcaffe.dnn.errors import DnnError, as_dnn_error
from segcaffe.dnn.net import Net
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import net_of, read_net
from segcaffe.snapshot.caffemodel import weights_of

_WEIGHTS = (".caffemodel", ".h5", ".hdf5", ".npz", ".safetensors")


def readNetFromCaffe(
    prototxt: Any = None, caffeModel: Any = "", *, bufferProto: Any = None, bufferModel: Any = None
) -> Net:
    """Read a net of Caffe.

    Parameters
    ----------
    prototxt, caffeModel:
        Paths, or what ``bufferProto`` and ``bufferModel`` take. The weights may have any format of
        `segcaffe.convert.formats`. Without them layers get theirs by ``getLayer(...).blobs``.
    bufferProto, bufferModel:
        The content of such files: bytes, or a flat array of them. Of weights only the binary format.

    Options that are not known are passed over, with a warning. DnnError, a ``cv2.error``, for what can't be read.
    """
    definition = bufferProto if bufferProto is not None else prototxt
    model = bufferModel if bufferModel is not None else caffeModel
    if definition is None:
        raise DnnError("readNetFromCaffe takes a prototxt: a path, or bytes. Received: none.")
    with as_dnn_error():
        return Net(_definition(definition), _weights(model), _name(model, "bufferModel"))


def readNet(model: Any, config: Any = "", framework: Any = "") -> Any:
    """Read a net: one of Caffe here, others by ``cv2.dnn.readNet``.

    Takes a prototxt and weights in either order, or ``readNet("caffe", bufferModel, bufferConfig)``.
    """
    if isinstance(model, str) and model.lower() == "caffe" and not _is_path(config):
        return readNetFromCaffe(framework, config)
    paths = [os.fspath(path) for path in (model, config) if _is_path(path) and os.fspath(path)]
    if len(paths) == 1 and _has(paths[0], (".caffemodel",)):
        raise DnnError(
            f"readNet({paths[0]!r}): weights of Caffe need the net's prototxt, too: readNet(WEIGHTS, PROTOTXT)."
        )
    if len(paths) == 2 and (str(framework).lower() == "caffe" or any(_has(path, (".caffemodel",)) for path in paths)):
        paths.sort(key=lambda path: _has(path, _WEIGHTS))
        return readNetFromCaffe(*paths)
    return cv2.dnn.readNet(model, config, framework)


def _has(path: str, suffixes: tuple[str, ...]) -> bool:
    return path.lower().endswith(suffixes)


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _name(value: Any, buffer: str) -> str:
    return os.fspath(value) if _is_path(value) else buffer


def _definition(value: Any) -> PlacedNet:
    if _is_path(value):
        return read_net(os.fspath(value), tolerant=True)
    return net_of(_bytes(value, "bufferProto"), "bufferProto", tolerant=True)


def _weights(value: Any) -> NetParameter | None:
    if _is_path(value):
        return formats.load(os.fspath(value)) if os.fspath(value) else None
    data = _bytes(value, "bufferModel")
    return weights_of(data, "bufferModel")[0] if data else None


def _bytes(value: Any, what: str) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    array = np.asarray(value)
    if array.dtype.itemsize != 1:
        raise DnnError(f"readNetFromCaffe: {what} is bytes, or an array of them. Received: {array.dtype}.")
    return array.tobytes()
