"""RandVec: vectors of random numbers, from which generators make images."""

from __future__ import annotations

import math
from typing import Any

from segcaffe import device
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.base import SourceLayer


@register
class RandVec(SourceLayer):
    """Numbers drawn evenly between ``lower`` and ``upper``, the same ones in ``repeat`` passes one after the other.

    top: (batch_size, dim), or with height and width (batch_size, dim, height, width).
    """

    top_count = (1, 1)
    data = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and shape the top."""
        options = self.param.rand_vec_param
        self.lower, self.upper, self.repeat = options.lower, options.upper, options.repeat
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)) or self.lower >= self.upper or self.repeat < 1:
            received = f"{self.lower:g}, {self.upper:g} and {self.repeat}"
            raise self.fail("rand_vec_param needs lower below upper, and a repeat of at least 1", received)
        if not options.batch_size or not options.dim:
            raise self.fail("rand_vec_param needs batch_size and dim", f"{options.batch_size} and {options.dim}")
        size = (options.height, options.width) if options.height and options.width else ()
        top[0].reshape(options.batch_size, options.dim, *size)
        self.passes = 0

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Draw, unless the numbers are to stay."""
        if self.passes % self.repeat == 0:
            top[0].data[...] = device.generator().uniform(self.lower, self.upper, top[0].shape)
        self.passes += 1

    def state(self) -> dict[str, Any]:
        """How many passes there were."""
        return {"passes": self.passes}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after so many passes; the numbers of an interrupted repetition are drawn anew."""
        self.passes = int(state["passes"]) // self.repeat * self.repeat
