"""Im2parity on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.im2dist.gpu import numbers_of
from segcaffe.window import Window

NO_LABEL = -(2**31) + 1
"""No label fits this number, of which 32-bit floats keep only the neighbours."""


def forward(label: Array, parity: Array, window: Window, ignore_label: int | None) -> None:
    ignored, outside = (NO_LABEL, 0) if ignore_label is None else (ignore_label, ignore_label)
    sizes = (*label.shape, *parity.shape[2:], *numbers_of(window))
    launch("im2parity", "forward", parity.size, label, parity, *sizes, ignored, outside)
