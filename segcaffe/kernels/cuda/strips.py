"""How ``strips.cuh`` divides images among threads."""

from __future__ import annotations

from segcaffe.kernels.cuda.compile import BLOCK
from segcaffe.window import Window

LANES = 32
RUNS = (3, 7)
"""How many taps of a window's column the kernels take together; each is compiled for all."""


def run_of(window: Window) -> int:
    """The run that wastes least on a window's columns: each run reads some rows more than it has taps."""
    return min(RUNS, key=lambda run: -(-window.kernel[0] // run) * (run + 2))


def blocks_of(shape: tuple[int, ...], window: Window, groups: int, pixels: int) -> int:
    """Blocks for images (N, C, H, W): whole warps along a row, strips of ``pixels`` a dilation apart, groups."""
    num, _, height, width = shape
    dilation = window.dilation[0]
    rows = -(-height // dilation)
    threads = num * min(dilation, height) * -(-rows // pixels) * -(-width // LANES) * groups * LANES
    return -(-threads // BLOCK)
