"""For layers whose gradient needs the input, also where the output has overwritten it."""

from __future__ import annotations

from dataclasses import replace

from segcaffe.device.mode import Array
from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, LayerMemory


class KeptInput(Layer):
    """Mixin: saves a copy of bottom 0 while the layer works in place."""

    _copied = False

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """The copy is saved where the top overwrites the input."""
        saved = bottom[0].nbytes if top[0] is bottom[0] and self.keeps() else 0
        return replace(super().memory(bottom, top, backward), saved=saved)

    def keeps(self) -> bool:
        """Whether the layer's options make it keep its input at all."""
        return True

    def keep(self, bottom: Blobs, top: Blobs) -> None:
        """Call before the top is written: remember the input if it is needed and that will overwrite it."""
        self._copied = top[0] is bottom[0] and self.keeps()
        if self._copied:
            copy.copy(bottom[0].array, self.own_blob("input", bottom[0].shape, saved=True).array)

    def kept(self, bottom: Blobs) -> Array:
        """The input of the last forward."""
        return self.saved_blobs["input"].array if self._copied else bottom[0].array
