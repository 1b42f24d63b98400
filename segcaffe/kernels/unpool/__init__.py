"""Max unpooling: values go back to where max pooling found them.

Arrays are planes: x and places (planes, values), y (planes, pixels). A place is a number of the arrays' dtype, rounded
towards zero; -1 is no place.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("y", "bad"))
def forward(x: Array, places: Array, y: Array, bad: Array) -> None:
    """Set y to 0, and each value's place to the value; of several with one place the last counts.

    ``bad`` (1,) int64 is set to the flat position of a place that is none of y's and not -1, and that counts as none;
    -1 if all are good.
    """


@kernel(writes=("dx",))
def backward(dy: Array, places: Array, dx: Array) -> None:
    """Set dx (planes, values) to dy (planes, pixels) at each value's place, 0 where it has none."""
