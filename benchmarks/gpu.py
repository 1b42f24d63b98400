"""On a GPU, beside PyTorch on the same one: python -m benchmarks.gpu [ROW ...] [--runs N] [--tf32] [--graphs].

Both sides run in turn in one process, on one stream, timed by device events; figures are medians after warm-up.
The floor of a convolution is what its bytes or its multiply-adds take at the bandwidth and matrix product that the
device was measured to reach. Float32 products are exact on both sides, or TF32 on both with ``--tf32``.
Needs CuPy, PyTorch for CUDA, and a device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import nets
from segcaffe import device
from segcaffe.device import cublas
from segcaffe.errors import DeviceError
from segcaffe.kernels import segaware_conv
from segcaffe.net import replay
from segcaffe.proto.window import Window

Work = Callable[[], object]


@dataclass(frozen=True)
class Masked:
    """A segmentation-aware convolution, channels to as many channels."""

    channels: int
    size: int
    dilation: int


MASKED = {
    "masked 64 at 321": Masked(64, 321, 1),
    "masked 512 at 41": Masked(512, 41, 2),
    "masked 1024 at 41": Masked(1024, 41, 12),
}
NETS = {
    "crf forward": (257, 30.0),
    "resnet deploy": (513, 1.3),
    "vgg16 deploy": (321, 1.3),
    "resnet101 iteration": (321, 1.0),
    "vgg16 iteration": (321, 1.1),
}
"""Rows of `benchmarks.nets` at the sizes for a GPU, and how many times as fast as PyTorch each should be."""


def time_pair(ours: Work, theirs: Work, runs: int, warmup: int = 3) -> tuple[float, float]:
    """Median milliseconds of both, run in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(warmup + runs):
        for work, kept in zip((ours, theirs), times, strict=True):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            work()
            stop.record()
            torch.cuda.synchronize()
            if i >= warmup:
                kept.append(start.elapsed_time(stop))
    return median(times[0]), median(times[1])


def bandwidth() -> float:
    """Bytes per second of a copy, read and written ones counted."""
    source = torch.empty(1 << 28)
    target = torch.empty_like(source)
    copied, _ = time_pair(lambda: target.copy_(source), lambda: None, 9)
    return 2 * source.numel() * 4 / copied * 1e3


def peak() -> float:
    """Multiply-adds per second of a large product of matrices."""
    a = torch.randn(8192, 8192)
    product, _ = time_pair(lambda: a @ a, lambda: None, 9)
    return 8192**3 / product * 1e3


class MaskedPair:
    """The same masked convolution by segcaffe's kernel and by unfold in PyTorch, forward and backward."""

    def __init__(self, work: Masked) -> None:
        c, s, d = work.channels, work.size, work.dilation
        rng = np.random.default_rng(0)
        shapes = {"x": (1, c, s, s), "mask": (1, 9, s, s), "weight": (c, c, 3, 3), "grad": (1, c, s, s)}
        values = {name: rng.random(shape, np.float32) - np.float32(0.3) for name, shape in shapes.items()}
        self.window = Window((3, 3), (1, 1), (d, d), (d, d))
        self.ours = {name: device.to_device(value) for name, value in values.items()}
        self.made = {name: device.to_device(np.zeros_like(value)) for name, value in values.items()}
        self.theirs = {name: torch.tensor(value) for name, value in values.items()}
        self.bytes = 4 * (2 * c * s * s + 9 * s * s + 9 * c * c)
        self.products = 9 * c * c * s * s

    def forward(self) -> None:
        """Our forward pass."""
        o = self.ours
        segaware_conv.forward(o["x"], o["mask"], o["weight"], None, self.made["grad"], self.window)

    def both(self) -> None:
        """Our passes, with all gradients."""
        self.forward()
        o, made, window = self.ours, self.made, self.window
        segaware_conv.backward_data(o["x"], o["mask"], o["weight"], o["grad"], made["x"], made["mask"], window)
        segaware_conv.backward_weight(o["x"], o["mask"], o["grad"], made["weight"], None, window)

    def their_forward(self) -> None:
        """Their forward pass."""
        with torch.no_grad():
            self._unfolded()

    def their_both(self) -> None:
        """Their passes, with all gradients."""
        leaves = [self.theirs[name].requires_grad_() for name in ("x", "mask", "weight")]
        torch.autograd.grad(self._unfolded(), leaves, self.theirs["grad"])

    def plain(self) -> None:
        """A convolution of that shape, without a mask."""
        d = self.window.dilation[0]
        with torch.no_grad():
            functional.conv2d(self.theirs["x"], self.theirs["weight"], padding=d, dilation=d)

    def difference(self) -> float:
        """Largest difference of the outputs, relative to the largest value."""
        self.forward()
        with torch.no_grad():
            expected = self._unfolded().cpu().numpy()
        return float(np.abs(device.to_host(self.made["grad"]) - expected).max() / np.abs(expected).max())

    def _unfolded(self) -> torch.Tensor:
        x, mask, weight = (self.theirs[name] for name in ("x", "mask", "weight"))
        d, c, size = self.window.dilation[0], x.shape[1], x.shape[2] * x.shape[3]
        columns = functional.unfold(x, 3, padding=d, dilation=d).view(1, c, 9, size) * mask.view(1, 1, 9, size)
        return (weight.view(len(weight), -1) @ columns.view(1, c * 9, size)).view_as(x)


def masked_rows(name: str, runs: int, speeds: tuple[float, float]) -> list[str]:
    """Lines of the table for one masked convolution."""
    pair = MaskedPair(MASKED[name])
    error = pair.difference()
    floor = 1e3 * max(pair.bytes / speeds[0], pair.products / speeds[1])
    rows = [
        ("forward, unfold", pair.forward, pair.their_forward, "10", floor),
        ("both, unfold", pair.both, pair.their_both, "6", 3 * floor),
        ("forward, plain conv", pair.forward, pair.plain, "0.67", floor),
    ]
    return [
        _line(f"{name} {title} (differs by {error:.0e})", time_pair(ours, theirs, runs), wanted, f"{least:.3f}")
        for title, ours, theirs, wanted, least in rows
    ]


def net_row(name: str, runs: int) -> str:
    """A line of the table for one net."""
    size, wanted = NETS[name]
    row = replace(nets.ROWS[name], size=size, peer="torch")
    ours, theirs = nets.side(row, "ours"), nets.side(row, "torch")
    if isinstance(theirs, nets.Theirs):
        theirs.seeds = {key: seed.cuda() for key, seed in theirs.seeds.items()}
    return _line(f"{name} at {size}", time_pair(ours.run, theirs.run, runs), f"{wanted:g}", "")


def _line(name: str, times: tuple[float, float], wanted: str, floor: str) -> str:
    return f"| {name} | {times[0]:.3f} | {times[1]:.3f} | {times[1] / times[0]:.2f} | {wanted} | {floor} |"


def start(options: Any) -> None:
    """Choose the device and the arithmetic on both sides."""
    device.set_mode_gpu()
    if not torch.cuda.is_available():
        raise DeviceError("The benchmark needs PyTorch for CUDA; this one sees no device.")
    torch.set_default_device("cuda")
    cublas.set_math("tf32" if options.tf32 else "fp32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
    replay.set_replay(options.graphs)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of: {', '.join([*MASKED, *NETS])}")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--tf32", action="store_true", help="products of rounded factors, on both sides")
    parser.add_argument("--graphs", action="store_true", help="replay our nets as CUDA graphs")
    options = parser.parse_args()
    try:
        start(options)
    except DeviceError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 2
    speeds = bandwidth(), peak()
    print(f"{torch.cuda.get_device_name()}: {speeds[0] / 1e9:.0f} GB/s, {2 * speeds[1] / 1e12:.1f} TFLOP/s")
    print("| work | ours ms | PyTorch ms | times as fast | wanted | floor ms |\n|---|---|---|---|---|---|")
    for name in options.rows or [*MASKED, *NETS]:
        for line in masked_rows(name, options.runs, speeds) if name in MASKED else [net_row(name, options.runs)]:
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
