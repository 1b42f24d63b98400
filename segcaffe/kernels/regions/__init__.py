"""Pooling over regions of a map: each region is cut into bins, by tables of where they begin and end.

Images are (N, C, H, W), C-contiguous; ``item`` (R,) int32 says of each region which image it lies in. ``rows``
(R, P, 2) and ``columns`` (R, Q, 2), int32, hold the first row or column of each bin and the one after its last; they
lie inside the image, and a bin may be empty.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("y", "place"))
def max_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array, place: Array) -> None:
    """The largest value of each bin: ``y`` (R, C, P, Q), 0 where the bin is empty.

    ``place`` of the same shape, int32, says where in its plane it stands, of equal values the first; -1: nowhere.
    """


@kernel(writes=("dx",))
def max_backward(dy: Array, item: Array, place: Array, dx: Array) -> None:
    """``dx`` (N, C, H, W) is overwritten: each gradient goes to where the maximum stood."""


@kernel(writes=("y",))
def mean_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array) -> None:
    """The mean of each bin, each bin reading a map of its own: x has C P Q channels, channel (c P + p) Q + q for y.

    ``y`` is (R, C, P, Q), 0 where a bin is empty.
    """


@kernel(writes=("dx",))
def mean_backward(dy: Array, item: Array, rows: Array, columns: Array, dx: Array) -> None:
    """``dx`` (N, C P Q, H, W) is overwritten: each gradient is spread evenly over its bin."""


@kernel(writes=("y",))
def sample_forward(x: Array, item: Array, low: Array, weight: Array, y: Array) -> None:
    """The mean of each bin's samples, bilinear: ``y`` (R, C, P, Q).

    Parameters
    ----------
    low, weight:
        (R, (P + Q) S), int32 and x's dtype: for the S rows of samples of each of P bins, then for the S columns of each
        of Q: the pixel before it, and how far beyond that it lies; -1 for samples outside, which count as 0.
    """


@kernel(writes=("dx",))
def sample_backward(dy: Array, item: Array, low: Array, weight: Array, dx: Array) -> None:
    """``dx`` (N, C, H, W) is overwritten with the gradient of `sample_forward`."""
