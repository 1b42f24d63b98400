"""Windows of an image written out as channels, and the sum back.

``x`` is (N, C, *spatial), ``columns`` (N, C * taps, *output) with channel ``c * taps + tap``, taps counted in row-major
order; both are C-contiguous, of one floating type, with 1 to 3 spatial axes. ``kernel``, ``stride``, ``pad`` and
``dilation`` have one value per spatial axis.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel

Sizes = tuple[int, ...]


@kernel(writes=("columns",))
def forward(x: Array, columns: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    """``columns[n, c * taps + t, q] = x[n, c, q * stride + t * dilation - pad]``, 0 outside the image."""


@kernel(writes=("x",))
def backward(columns: Array, x: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    """Overwrite each element of ``x`` with the sum of the columns' elements that `forward` would copy it to."""
