"""What is done to a convolution's results while they are at hand: a factor, a bias, a rectifier."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution import loops
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]
_GRAIN = 1 << 15
"""Elements worth a thread of their own."""


class Epilogue(NamedTuple):
    """``v = scale[channel] * sum + bias[channel]``, then ``v`` where v > 0, else ``slope * v``."""

    scale: Array | None = None
    bias: Array | None = None
    slope: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether results stay as they are."""
        return self.scale is None and self.bias is None and self.slope == 1

    def table(self, groups: int, rows: int, padded: int, dtype: Any) -> tuple[Array, Any]:
        """(scale, bias) for each of ``padded`` rows of each group, flat, and the slope; rows that do not exist as 0."""
        factors = np.zeros((groups, padded, 2), dtype)
        factors[:, :rows, 0] = 1 if self.scale is None else self.scale.reshape(groups, rows)
        factors[:, :rows, 1] = 0 if self.bias is None else self.bias.reshape(groups, rows)
        return factors.reshape(-1), factors.dtype.type(self.slope)

    def of_zero(self, channels: int, axes: int) -> Array:
        """What sums of nothing become, shaped to be written to an array of so many axes."""
        bias = np.zeros(channels) if self.bias is None else self.bias
        return np.where(bias > 0, bias, self.slope * bias).reshape(-1, *(1,) * (axes - 2))

    def calls(self, sums: Array, first: int = 0) -> Any:
        """The calls that apply it to a matrix whose rows are the channels from ``first`` on."""
        if self.is_identity:
            return ()
        channels = slice(first, first + len(sums))
        scale, bias = (None if a is None else a[channels] for a in (self.scale, self.bias))
        table = Epilogue(scale, bias, self.slope).table(1, len(sums), len(sums), sums.dtype)
        return ((loops.finish_rows, (sums, table)),)

    def apply_to_image(self, image: Array, first: int = 0) -> None:
        """Apply it to an image (channels, *spatial), its channels divided among threads."""
        if self.is_identity or image.size == 0:
            return
        sums = image.reshape(len(image), -1)
        grain = max(1, _GRAIN // sums.shape[1])
        calls.run(len(sums), lambda start, stop: self.calls(sums[start:stop], first + start), grain)
