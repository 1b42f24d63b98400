"""The base class of layers that users write: what pycaffe calls ``caffe.Layer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segcaffe.blob.member import member
from segcaffe.blob.vectors import BlobVec
from segcaffe.layers.base import Blobs
from segcaffe.proto import caffe_pb2


class PythonLayerBase:
    """Derive layers for ``type: "Python"`` from this class; it is ``segcaffe.Layer``.

    Override `setup`, `reshape`, `forward` and, if gradients are wanted, `backward`. They work on host arrays:
    ``top[i].reshape(N, C, H, W)``, ``bottom[i].data``, ``top[i].data[...] = values``, ``bottom[i].diff[...] = grad``.

    Attributes
    ----------
    param_str:
        ``python_param.param_str`` of the prototxt.
    phase:
        ``segcaffe.TRAIN`` or ``segcaffe.TEST``.
    blobs:
        Parameters; ``self.blobs.add_blob(3, 4)`` in `setup` makes one. `backward` adds to their ``diff``.
    type:
        "Python".
    """

    blobs: BlobVec = member("Parameters of the layer.")
    type = "Python"

    def __init__(self, param: caffe_pb2.LayerParameter | None = None, *args: Any, **options: Any) -> None:
        self.blobs = BlobVec()
        self.param_str = "" if param is None else param.python_param.param_str
        self.phase: int = caffe_pb2.TRAIN if param is None else param.phase

    @property
    def param_str_(self) -> str:
        """The old name of ``param_str``."""
        return self.param_str

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read ``param_str``, make parameters; called once."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops; called before each forward."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute ``top[i].data``."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Compute ``bottom[i].diff`` where ``propagate_down[i]`` from ``top[i].diff``."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")
