"""Whether the pixels of a window carry the same label as its centre."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window


@kernel(writes=("parity",))
def forward(label: Array, parity: Array, window: Window, ignore_label: int | None) -> None:
    """Write 1 where the label of a tap equals that of its window's centre, else 0.

    Parameters
    ----------
    label:
        (N, C, H, W), whole numbers (fractions are cut off). Of several channels the last one counts.
    parity:
        (N, kh·kw, H', W'), written whole. The centre is tap (kh/2, kw/2), rounded down; a tap outside the image has
        label 0.
    window:
        Kernel, stride, pad and dilation for (height, width); (H', W') is its output size.
    ignore_label:
        Where either label is this one, so is the parity, and where the centre is outside the image (over-padding).
        None: no label is ignored, and such centres give 0.
    """
