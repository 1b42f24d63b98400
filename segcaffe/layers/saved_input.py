"""For layers whose gradient needs the input, also where the output has overwritten it."""

from __future__ import annotations

from dataclasses import replace

from segcaffe.device.mode import Array
from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, LayerMemory


class SavedInput(Layer):
    """Mixin: saves a copy of bottom 0 for backward where the layer works in place."""

    _copied = False

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """The copy is saved where the top overwrites the input."""
        saved = bottom[0].nbytes if self._saves(bottom, top) else 0
        return replace(super().memory(bottom, top, backward), saved=saved)

    def saves_input(self) -> bool:
        """Whether the layer's options make it need its input at all."""
        return True

    def save_input(self, bottom: Blobs, top: Blobs) -> None:
        """Call before the top is written: remember the input if it is needed and that will overwrite it."""
        self._copied = self._saves(bottom, top)
        if self._copied:
            copy.copy(bottom[0].array, self.own_blob("input", bottom[0].shape, saved=True).array)

    def _saves(self, bottom: Blobs, top: Blobs) -> bool:
        return self.runs_backward and top[0] is bottom[0] and self.saves_input()

    def saved_input(self, bottom: Blobs) -> Array:
        """The input of the last forward."""
        return self.saved_blobs["input"].array if self._copied else bottom[0].array
