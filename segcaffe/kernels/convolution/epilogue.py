"""What is done to a convolution's results while they are at hand: a factor, a bias, an addend, a rectifier."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution import loops
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]
_GRAIN = 1 << 15
"""Elements worth a thread of their own."""


class Epilogue(NamedTuple):
    """``v = scale[channel] * sum + bias[channel] + addend``, then ``v`` where v > 0, else ``slope * v``.

    ``slope`` is a number, or an array of one for each channel; ``addend`` an array like the result.
    """

    scale: Array | None = None
    bias: Array | None = None
    slope: float | Array = 1.0
    addend: Array | None = None

    @property
    def is_identity(self) -> bool:
        """Whether results stay as they are."""
        return self.scale is None and self.bias is None and not self._ends_later and self.slope == 1

    @property
    def _ends_later(self) -> bool:
        """Whether registers hold only a part of what it takes: it is ended when results have been written."""
        return self.addend is not None or isinstance(self.slope, np.ndarray)

    def table(self, groups: int, rows: int, padded: int, dtype: Any) -> tuple[tuple[Array, Any], tuple[Array, Array]]:
        """What loops take: the part that is done in registers, and the ending (see `ending`).

        The first is (scale, bias) for each of ``padded`` rows of each group, flat, and the slope; rows that do not
        exist are 0.
        """
        factors = np.zeros((groups, padded, 2), dtype)
        factors[:, :rows, 0] = 1 if self.scale is None else self.scale.reshape(groups, rows)
        factors[:, :rows, 1] = 0 if self.bias is None else self.bias.reshape(groups, rows)
        slope = factors.dtype.type(1 if self._ends_later else self.slope)
        return (factors.reshape(-1), slope), self._ending(groups * rows, factors.dtype)

    def _ending(self, channels: int, dtype: Any) -> tuple[Array, Array]:
        nothing = np.empty(0, dtype)
        if not self._ends_later:
            return nothing, nothing
        slopes = np.empty(channels, dtype)
        slopes[:] = self.slope
        return nothing if self.addend is None else self.addend.reshape(-1), slopes

    def of_zero(self, channels: int, axes: int) -> Array:
        """What sums of nothing become, shaped to be written to an array of so many axes."""
        bias = np.zeros(channels) if self.bias is None else self.bias
        return np.where(bias > 0, bias, self.slope * bias).reshape(-1, *(1,) * (axes - 2))

    def calls(self, sums: Array, row: int = 0, column: int = 0, image: int = 0) -> Any:
        """The calls that apply it to part of a matrix (channels, pixels) of an image, from a row and column on."""
        if self.is_identity:
            return ()
        rows = slice(row, row + len(sums))
        table = np.empty((len(sums), 3), sums.dtype)
        table[:, 0] = 1 if self.scale is None else self.scale[rows]
        table[:, 1] = 0 if self.bias is None else self.bias[rows]
        table[:, 2] = self.slope[rows] if isinstance(self.slope, np.ndarray) else self.slope
        if self.addend is None:
            return ((loops.finish_rows, (sums, table)),)
        addend = self.addend[image].reshape(self.addend.shape[1], -1)
        return ((loops.finish_sums, (sums, table, addend[rows, column : column + sums.shape[1]])),)

    def of_image(self, image: int) -> Any:
        """`calls` for an image."""
        return partial(self.calls, image=image)

    def apply_to_image(self, target: Array, first: int = 0, image: int = 0) -> None:
        """Apply it to channels, from the first on, of an image (channels, *spatial), divided among threads."""
        if self.is_identity or target.size == 0:
            return
        sums = target.reshape(len(target), -1)
        grain = max(1, _GRAIN // sums.shape[1])
        calls.run(len(sums), lambda start, stop: self.calls(sums[start:stop], first + start, 0, image), grain)
