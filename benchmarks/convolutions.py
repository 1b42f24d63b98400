"""Plain convolutions beside PyTorch: python -m benchmarks.convolutions [CASE ...] [--runs N] [--threads N].

Both sides run in turn in one process, with one thread each unless told otherwise, in processor time (on the wall with
several threads). Each cell is how many times as fast ours is, the median over pairs of neighbouring runs, and in
brackets our rate in GFLOP/s, where multiplications with padding count, and those that Winograd's method saves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.timing import interleave
from segcaffe.kernels import convolution
from segcaffe.threads import parallel
from segcaffe.window import Window


class Case(NamedTuple):
    """One convolution of square images by square kernels."""

    images: int
    channels: int
    outputs: int
    size: int
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1


CASES = {
    "3x3, 64 to 64, 161": Case(1, 64, 64, 161, 3, pad=1),
    "3x3, 512 to 512, 41": Case(1, 512, 512, 41, 3, pad=1),
    "3x3 stride 2, 64 to 64, 161": Case(1, 64, 64, 161, 3, stride=2, pad=1),
    "3x3 stride 2, 128 to 128, 81": Case(1, 128, 128, 81, 3, stride=2, pad=1),
    "3x3 stride 2, 256 to 256, 41": Case(1, 256, 256, 41, 3, stride=2, pad=1),
    "7x7 stride 2, 3 to 64, 321": Case(1, 3, 64, 321, 7, stride=2, pad=3),
    "1x1, 643 to 64, 161": Case(1, 643, 64, 161, 1),
    "1x1, 1024 to 1024, 41": Case(1, 1024, 1024, 41, 1),
    "1x1, 64 to 256, 81": Case(1, 64, 256, 81, 1),
    "3x3 dilated by 12, 512 to 1024, 41": Case(1, 512, 1024, 41, 3, pad=12, dilation=12),
    "3x3 dilated by 12, 2048 to 21, 41": Case(1, 2048, 21, 41, 3, pad=12, dilation=12),
    "5x5, 20 to 50, 12, batch 100": Case(100, 20, 50, 12, 5),
    "5x5, 32 to 32, 16, batch 100": Case(100, 32, 32, 16, 5, pad=2),
    "5x5, 32 to 64, 8, batch 100": Case(100, 32, 64, 8, 5, pad=2),
}


def compare(case: Case, runs: int, clock: Callable[[], float]) -> list[str]:
    """Time forward and the gradients of image and weights; returns a cell for each."""
    ours, theirs, operations = _sides(case)
    cells = []
    for mine, other in zip(ours, theirs, strict=True):
        pair = interleave(mine, other, runs, clock=clock)
        cells.append(f"{1 / pair.ratio:.2f} ({1e-9 * operations / median(pair.ours):.0f})")
    return cells


def _sides(case: Case) -> tuple[list[Callable[[], Any]], list[Callable[[], Any]], float]:
    """Our three passes, PyTorch's, and how many floating-point operations each takes."""
    rng = np.random.default_rng(0)
    out = (case.size + 2 * case.pad - case.dilation * (case.kernel - 1) - 1) // case.stride + 1
    shapes = (
        (case.images, case.channels, case.size, case.size),
        (case.outputs, case.channels, case.kernel, case.kernel),
        (case.images, case.outputs, out, out),
    )
    x, weight, y = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    window = ((case.stride,) * 2, (case.pad,) * 2, (case.dilation,) * 2)
    whole = Window((case.kernel,) * 2, *window)
    grad_x, grad_weight = np.empty_like(x), np.zeros_like(weight)
    tensors = [torch.from_numpy(array.copy()) for array in (y, x, weight)]

    def backward(mask: list[bool]) -> Any:
        options = [None, *map(list, window), False, [0, 0], 1, mask]
        return torch.ops.aten.convolution_backward(*tensors, *options)

    ours = [
        lambda: convolution.forward(x, weight, None, y, whole),
        lambda: convolution.backward_data(y, weight, grad_x, whole),
        lambda: convolution.backward_weight(x, y, grad_weight, None, whole),
    ]
    theirs = [
        lambda: torch.conv2d(tensors[1], tensors[2], None, *window),
        lambda: backward([True, False, False]),
        lambda: backward([False, True, False]),
    ]
    return ours, theirs, 2.0 * y.size * weight[0].size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="only cases whose names begin so")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    parallel.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print("| convolution | forward | gradient of the image | gradient of the weights |\n|---|---|---|---|")
    for name, case in CASES.items():
        if not options.cases or name.startswith(tuple(options.cases)):
            print(f"| {name} | {' | '.join(compare(case, options.runs, clock))} |", flush=True)


if __name__ == "__main__":
    main()
