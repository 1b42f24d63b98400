"""The lists of pycaffe's compiled module, under its names: scripts ask for their types and make their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from segcaffe.blob.blob import Blob
from segcaffe.blob.buffer import note_change


class _Blobs(list[Blob]):
    """A list in which a script may put another blob, which is noted."""

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        note_change()


class BlobVec(_Blobs):
    """Blobs that belong to the list's owner, such as a layer's parameters: ``net.params["conv1"]``."""

    def __init__(self, blobs: Iterable[Blob] = (), dtype: Any = np.float32) -> None:
        super().__init__(blobs)
        self.dtype = dtype

    def add_blob(self, *shape: int) -> Blob:
        """Append a blob of zeros of that shape."""
        blob = Blob(shape, self.dtype)
        self.append(blob)
        return blob


class RawBlobVec(_Blobs):
    """Blobs that belong to the net: the bottoms and tops that a layer is called with."""


class LayerVec(list[Any]):
    """Layers: ``net.layers``."""


class NetVec(list[Any]):
    """Nets: ``solver.test_nets``."""


class StringVec(list[str]):
    """Names: ``net._layer_names``."""


class IntVec(list[int]):
    """Indices: ``net._inputs``."""


class DtypeVec(list[float]):
    """Numbers: ``net._blob_loss_weights``."""


class BoolVec(list[bool]):
    """Answers: the ``propagate_down`` that a layer's backward is called with."""
