"""A layer with options and inputs, small enough to check by brute force."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import layer_class
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

Array = np.ndarray[Any, Any]
Input = tuple[int, ...] | Array | Callable[[np.random.Generator], Array]


@dataclass(frozen=True)
class LayerCase:
    """One way to use a layer type.

    Parameters
    ----------
    type:
        The type string.
    options:
        Text prototxt of the layer's options: ``"convolution_param { num_output: 4 kernel_size: 3 }"``.
    bottoms:
        For each bottom a shape (filled with normal values), an array, or a function of a random generator.
    tops:
        Number of tops.
    phase:
        "TRAIN" or "TEST".
    suffix:
        Tells cases of one type apart in test names.
    gradient:
        Whether gradients are checked by central differences (True wherever the layer has any).
    no_gradient:
        Bottoms left out of the gradient check although the type lists them as differentiable.
    param_gradient:
        Indices of the parameters whose gradient is checked; None means all.
    params:
        Values of parameters by index, where normal values would not do (variances, for example).
    batched:
        Whether forward of a batch equals forward of its items one by one.
    deterministic:
        Whether two forwards of the same input are equal (False for layers that draw random numbers).
    """

    type: str
    options: str = ""
    bottoms: tuple[Input, ...] = ((2, 3, 5, 6),)
    tops: int = 1
    phase: str = "TEST"
    suffix: str = ""
    gradient: bool = True
    no_gradient: tuple[int, ...] = ()
    param_gradient: tuple[int, ...] | None = None
    params: dict[int, Input] = field(default_factory=dict)
    batched: bool = True
    deterministic: bool = True

    @property
    def id(self) -> str:
        """Name of the case in test reports."""
        return f"{self.type}_{self.suffix}" if self.suffix else self.type

    def layer_param(self) -> caffe_pb2.LayerParameter:
        """The layer as a `LayerParameter` named "layer"."""
        param = caffe_pb2.LayerParameter()
        parse(self.options, param, filename=self.id)
        param.name, param.type = "layer", self.type
        param.bottom.extend(f"bottom{i}" for i in range(len(self.bottoms)))
        param.top.extend(f"top{i}" for i in range(self.tops))
        return param

    def inputs(self, dtype: Any = np.float32) -> list[Array]:
        """The bottoms' values: the same at each call."""
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [_values(spec, rng).astype(dtype) for spec in self.bottoms]

    def build(self, dtype: Any = np.float32, inputs: list[Array] | None = None) -> tuple[Layer, list[Blob], list[Blob]]:
        """A layer set up on the case's inputs, its parameters filled with repeatable values; and bottoms and tops."""
        bottom = [_blob(values, dtype) for values in (self.inputs(dtype) if inputs is None else inputs)]
        top = [Blob((), dtype) for _ in range(self.tops)]
        layer = layer_class(self.type)(self.layer_param(), caffe_pb2.Phase.Value(self.phase), dtype)
        layer.check_counts(len(bottom), len(top))
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        rng = np.random.default_rng(zlib.crc32(f"{self.id}/params".encode()))
        for index, blob in enumerate(layer.blobs):
            values = _values(self.params.get(index, blob.shape), rng)
            blob.data[...] = values
        return layer, bottom, top


def _values(spec: Input, rng: np.random.Generator) -> Array:
    if isinstance(spec, np.ndarray):
        return spec
    if callable(spec):
        return np.asarray(spec(rng))
    return np.asarray(rng.standard_normal(spec))


def _blob(values: Array, dtype: Any) -> Blob:
    blob = Blob(values.shape, dtype)
    blob.data[...] = values
    return blob
