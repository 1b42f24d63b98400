"""Counting hits on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch


def count(x: Array, label: Array, top_k: int, ignore: int, counts: Array, bad: Array) -> None:
    counts.fill(0)
    bad.fill(-1)
    numbers = (top_k, ignore, counts, bad, *x.shape[1:], label.size)
    launch("accuracy", "count", label.size, x, label, *numbers)
