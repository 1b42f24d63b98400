"""Im2parity: whether the pixels of a window carry its centre's label."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels import im2parity
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.local_window import LocalWindow


@register
class Im2parity(LocalWindow):
    """1 where a tap of a window has the label of its centre, else 0: the target of `DistLoss`.

    bottom: labels (N, 1, H, W), of several channels the last counts;  top: parities (N, kh·kw, H', W').
    A tap outside the image has label 0. Where either label is im2parity_param.ignore_label so is the parity, and
    where the centre is outside. No gradient. Source: Harley et al. 2017, section 3.1.
    """

    label_options = "im2parity_param"
    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window and the label to ignore."""
        super().setup(bottom, top)
        options = self.param.im2parity_param
        self.ignore_label = options.ignore_label if options.HasField("ignore_label") else None

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """A few labels, many times."""
        return rng.integers(3, size=bottom[0].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare the labels."""
        label, parity = self._images(bottom[0].array), self._images(top[0].array)
        im2parity.forward(label, parity, self.window, self.ignore_label)
