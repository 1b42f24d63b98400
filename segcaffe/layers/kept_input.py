"""For layers whose gradient needs the input, also where the output has overwritten it."""

from __future__ import annotations

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs


class KeptInput:
    """Mixin: keeps a copy of bottom 0 while the layer works in place."""

    _copy: Blob | None = None
    _copied = False

    def held_bytes(self, bottom: Blobs, top: Blobs) -> int:
        """The copy, where the top overwrites the input."""
        return bottom[0].count * bottom[0].dtype.itemsize if top[0] is bottom[0] and self.keeps() else 0

    def keeps(self) -> bool:
        """Whether the layer's options make it keep its input at all."""
        return True

    def keep(self, bottom: Blobs, top: Blobs) -> None:
        """Call before the top is written: remember the input if that will overwrite it."""
        self._copied = top[0] is bottom[0]
        if self._copied:
            if self._copy is None:
                self._copy = Blob(dtype=bottom[0].dtype)
            self._copy.reshape_like(bottom[0])
            copy.copy(bottom[0].array, self._copy.array)

    def forget(self) -> None:
        """Give the copy back."""
        if self._copy is not None:
            self._copy.buffer("data").release()

    def kept(self, bottom: Blobs) -> Array:
        """The input of the last forward."""
        return self._copy.array if self._copied and self._copy is not None else bottom[0].array
