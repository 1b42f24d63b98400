"""Layers that scripts write themselves, by OpenCV's protocol.

``registerLayer("Crop", Crop)`` makes the class stand for the type "Crop" in nets that are read afterwards, one that
segcaffe has too. It is called as ``Crop(params, blobs)``, has ``getMemoryShapes(inputs)``, which takes and gives a list
of shapes, and ``forward(inputs)``, which takes arrays and gives a list of them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from segcaffe.blob.proto import array_of, shape_of
from segcaffe.dnn.errors import DnnError
from segcaffe.dnn.layer import as_opencv
from segcaffe.layers.base import Blobs
from segcaffe.layers.python.user import PythonLayerBase
from segcaffe.proto.caffe_pb2 import LayerParameter

_registered: dict[str, list[type[Any]]] = {}
_COMMON = ("name", "type", "bottom", "top", "phase", "loss_weight", "param", "blobs", "propagate_down", "include",
           "exclude")  # fmt: skip
"""Fields of layers that are no options of a type."""


def registerLayer(type: str, cls: type[Any]) -> None:
    """Let a class stand for a layer type in nets read from now on; the last one registered prevails."""
    missing = [name for name in ("getMemoryShapes", "forward") if not callable(getattr(cls, name, None))]
    if missing:
        raise DnnError(f'registerLayer("{type}"): a class with getMemoryShapes and forward. Missing: {missing[0]}.')
    _registered.setdefault(type, []).append(cls)


def unregisterLayer(type: str) -> None:
    """Take the class that was registered last for a type back."""
    if type in _registered:
        _registered[type].pop()
        if not _registered[type]:
            del _registered[type]


def is_registered(type: str) -> bool:
    """Whether a class stands for a type."""
    return type in _registered


def as_python_layer(param: LayerParameter) -> None:
    """Turn a layer of a registered type into a Python layer that calls the class."""
    original = base64.b64encode(param.SerializeToString()).decode()
    param.type = "Python"
    param.python_param.module, param.python_param.layer = __name__, UserLayer.__name__
    param.python_param.param_str = original


class UserLayer(PythonLayerBase):
    """Calls a registered class; ``param_str`` is the layer as the prototxt has it, in binary and base64."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the parameters that the weights have, and the user's object."""
        param = LayerParameter.FromString(base64.b64decode(self.param_str))
        self._where = f'layer "{param.name}" ({param.type})'
        for index, message in enumerate(param.blobs):
            blob = self.blobs.add_blob(*shape_of(message))
            blob.data[...] = array_of(message, f"{self._where} blob {index}")
        cls = _registered[param.type][-1]
        self._user = cls(options(param), [as_opencv(blob.data) for blob in self.blobs])

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Ask the user's object for the shapes of the tops."""
        shapes = self._user.getMemoryShapes([blob.shape for blob in bottom])
        if len(shapes) != len(top):
            raise DnnError(f"{self._where}: getMemoryShapes gives a shape for each of {len(top)} tops. Got: {shapes}.")
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(*map(int, shape))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Let the user's object compute the tops."""
        results = self._user.forward(tuple(np.array(blob.data) for blob in bottom))
        shapes = [np.shape(values) for values in results]
        if shapes != [blob.shape for blob in top]:
            raise DnnError(
                f"{self._where}: forward gives arrays of the shapes that getMemoryShapes gave, "
                f"{[blob.shape for blob in top]}. Received: {shapes}."
            )
        for blob, values in zip(top, results, strict=True):
            blob.data[...] = values

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """There is no backward pass."""
        raise DnnError(f"{self._where}: a layer of a script for OpenCV has no backward pass.")


def options(param: LayerParameter) -> dict[str, Any]:
    """The options that a layer sets, as OpenCV hands them over: all in one dictionary by the names of their fields.

    Switches are 0 and 1, choices are their names, several values of a field a tuple.
    """
    found: dict[str, Any] = {}
    for field, value in param.ListFields():
        if field.name not in _COMMON and field.message_type is not None:
            _add(found, value)
    return found


def _add(found: dict[str, Any], message: Message) -> None:
    for field, value in message.ListFields():
        several = not isinstance(value, (str, bytes, Message)) and hasattr(value, "__len__")
        values = list(value) if several else [value]
        if field.message_type is not None:
            for inner in values:
                _add(found, inner)
            continue
        plain = tuple(_plain(field, one) for one in values)
        found[field.name] = plain[0] if len(plain) == 1 else plain


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return int(value) if isinstance(value, bool) else value
