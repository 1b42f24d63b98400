"""Confusion matrix on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch


def count(x: Array, label: Array, ignore: Array, counts: Array, bad: Array) -> None:
    counts.fill(0)
    bad.fill(-1)
    numbers = (ignore.size, counts, bad, *x.shape[1:], label.size)
    launch("confusion", "count", label.size, x, label, ignore, *numbers)
