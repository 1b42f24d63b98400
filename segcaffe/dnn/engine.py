"""The net that runs: `segcaffe.Net`, which notes how long its layers take and which of them have weights."""

from __future__ import annotations

import time
from typing import Any

from segcaffe.errors import WeightsError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.proto.placed import PlacedNet
from segcaffe.weights.completeness import left_arbitrary
from segcaffe.weights.loading import shown


class Engine(Net):
    """A net in phase TEST.

    Attributes
    ----------
    total:
        Seconds that passes took since `start_clock`.
    seconds:
        What each layer took of that, as far as it ran by itself: a pass that is played back runs no layers.
    """

    def __init__(self, net: PlacedNet, fuse: bool) -> None:
        super().__init__(net, phase=TEST, fuse=fuse, tolerant=True)
        self.total = 0.0
        self.seconds: dict[int, float] = {}

    def start_clock(self) -> None:
        """Count from zero."""
        self.total = 0.0
        self.seconds.clear()

    def forward_from_to(self, first: int, last: int) -> float:
        """Run layers as `Net.forward_from_to` does, and note how long that takes."""
        start = time.perf_counter()
        loss = super().forward_from_to(first, last)
        self.total += time.perf_counter() - start
        return loss

    def note_given(self, layer: str) -> None:
        """Note that a layer's parameters have been written, whatever was in a file."""
        self._loaded.add(layer)

    def note_as(self, other: Engine) -> None:
        """Note for which layers there were weights, of another engine of the same net whose values this one has."""
        self._loaded = set(other._loaded)

    def check_weights(self, last: int) -> None:
        """Raise WeightsError where a layer up to the index ``last`` has random or zero values for weights."""
        left = left_arbitrary(self.layer_list[: last + 1], self._loaded)
        if left:
            raise WeightsError(
                f"No weights for {shown([layer.where for layer in left])}: give readNetFromCaffe a caffemodel that has "
                "them, or set them: net.getLayer(ID).blobs = [...]."
            )

    def _forward_layer(self, i: int) -> None:
        start = time.perf_counter()
        super()._forward_layer(i)
        self.seconds[i] = time.perf_counter() - start

    def reshape_inputs(self, shapes: dict[str, Any]) -> None:
        """Give inputs other shapes, which the next pass carries on through the layers."""
        for name, shape in shapes.items():
            if self.blobs[name].shape != tuple(shape):
                self.blobs[name].reshape(*shape)
