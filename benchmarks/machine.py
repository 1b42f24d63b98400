"""What the machine can do at best, measured beside the benchmarks: multiply-adds in registers, and copies in memory.

Run: python -m benchmarks.machine
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numba import njit

from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, multiply_8, strip_length
from segcaffe.threads import parallel

_DEPTH = 128
_REPEATS = 4000
_COPIED = 1 << 26


@njit(nogil=True)
def _multiply(x, offsets, weight, bias, out, strip, start, stop):  # type: ignore[no-untyped-def]
    for _ in range(start, stop):
        multiply_8(x, 0, offsets, weight, 0, offsets.size, bias, 0, out, 0, strip, None)


def _best(function: Callable[[], None], runs: int = 9) -> float:
    """Seconds of the fastest run: others had to share the machine."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def peak_flops() -> float:
    """Floating-point operations per second of all threads, on operands in the first-level cache."""
    strip = strip_length(np.float32)
    weight, bias = np.ones(_DEPTH * ROWS, np.float32), np.zeros(ROWS, np.float32)
    offsets = np.arange(_DEPTH) * 8
    blocks = parallel.num_threads()

    def part(start: int, stop: int) -> None:
        x = scratch("machine_x", 8 * _DEPTH + strip, np.float32)
        x[:] = 1
        out = scratch("machine_out", 8 * strip, np.float32)
        _multiply(x, offsets, weight, bias, out, strip, start * _REPEATS, stop * _REPEATS)

    seconds = _best(lambda: parallel.run(blocks, part, blocks=blocks))
    return 2 * 8 * strip * _DEPTH * _REPEATS * blocks / seconds


def peak_bytes() -> float:
    """Bytes per second that copying moves, read and written, by all threads."""
    source, target = np.ones(_COPIED, np.float32), np.empty(_COPIED, np.float32)

    def part(start: int, stop: int) -> None:
        np.copyto(target[start:stop], source[start:stop])

    seconds = _best(lambda: parallel.run(_COPIED, part, grain=1 << 20))
    return 2 * source.nbytes / seconds


def report() -> str:
    """One line with both."""
    return (
        f"This machine, {parallel.num_threads()} threads: {peak_flops() / 1e9:.0f} GFLOP/s in registers, "
        f"{peak_bytes() / 1e9:.0f} GB/s copying."
    )


if __name__ == "__main__":
    print(report())
