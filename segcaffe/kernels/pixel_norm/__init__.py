"""Each pixel's vector of channels divided by its length, and scaled channel by channel.

Arrays are (images, channels, positions), ``norm`` (images, positions) and ``scale`` (channels,); all contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@dataclass(frozen=True)
class Epsilon:
    """What keeps lengths from 0: sqrt(sum + ``inside``) + ``outside``."""

    inside: float
    outside: float = 0.0


@kernel(writes=("norm", "y"))
def forward(x: Array, scale: Array, norm: Array, y: Array, epsilon: Epsilon) -> None:
    """Set norm to the lengths, with epsilon, and y = scale·x/norm; y may be x."""


@kernel(writes=("dx",))
def backward(x: Array, scale: Array, norm: Array, dy: Array, dx: Array) -> None:
    """Set dx = (scale·dy - x·(sum of scale·dy·x over the channels)/norm²)/norm; dx may be dy."""


@kernel(writes=("out",))
def scale_grad(x: Array, norm: Array, dy: Array, out: Array) -> None:
    """Set out (channels,) to the sums of dy·x/norm over images and positions."""
