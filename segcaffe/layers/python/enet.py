"""The layer of ENet that its nets name as a Python module."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.errors import GraphError
from segcaffe.layers.base import Blobs
from segcaffe.layers.python.stand_in import StandIn


class SpatialDropoutLayer(StandIn):
    """Whole channels are 0 with probability p, else x / (1 - p). With phase TEST of ``param_str``: x / (1 - p).

    bottom: (N, C, ...);  top: the same shape.

    The phase is that of ``param_str``, whatever the net's is, and TEST multiplies, too, as the module does:
    weights made with it expect that. The layer type SpatialDropout does neither.   [Saemann's ENet].
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the phase and p."""
        super().setup(bottom, top)
        try:
            ratio = float(self.options["p"])
        except (KeyError, TypeError, ValueError):
            ratio = -1
        if not 0 < ratio < 1 or self.options.get("phase") not in ("TRAIN", "TEST"):
            raise GraphError(
                "SpatialDropoutLayer needs param_str: \"{'phase': 'TRAIN', 'p': 0.1}\" with a phase (TRAIN, TEST) and "
                f"p between 0 and 1. Received: {self.param_str!r}."
            )
        self.ratio, self.drops = ratio, self.options["phase"] == "TRAIN"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Draw and multiply."""
        x = bottom[0].data
        kept = device.generator().random(x.shape[:2]) >= self.ratio if self.drops else np.ones(x.shape[:2])
        factors = (kept / (1 - self.ratio)).astype(x.dtype)
        self.factors = factors.reshape(*factors.shape, *[1] * (x.ndim - 2))
        np.multiply(x, self.factors, out=top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Multiply the gradient as the values were."""
        if propagate_down[0]:
            np.multiply(top[0].diff, self.factors, out=bottom[0].diff)
