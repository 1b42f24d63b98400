"""The rows of `benchmarks.gpu`: what each measures, ours beside PyTorch on one device, and the least it could take.

Both sides run in turn in one process, on one stream, timed by the device's events (by the clock where there is no
device, for trying the rows out). Figures are medians after warm-up.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import gpu_trace, nets
from benchmarks.gpu_nets import NETS
from segcaffe import device
from segcaffe.device import memory
from segcaffe.kernels import segaware_conv
from segcaffe.net.net import Net
from segcaffe.window import Window

Work = Callable[[], object]
MEGABYTE = 1e6


@dataclass(frozen=True)
class Speeds:
    """What the device was measured to reach: bytes of a copy and multiply-adds of a product, per second."""

    bandwidth: float
    products: float

    def floor(self, size: float, products: float) -> float:
        """Milliseconds that so many bytes or multiply-adds take, whichever is more."""
        return 1e3 * max(size / self.bandwidth, products / self.products)


@dataclass(frozen=True)
class Bench:
    """How to measure: on small sizes (to try the rows out), and how often."""

    smoke: bool
    runs: int
    speeds: Speeds


@dataclass(frozen=True)
class Line:
    """One line of the table: milliseconds, what is wanted of it, the least it could take, megabytes of either side."""

    work: str
    ours: float
    theirs: float | None = None
    wanted: str = ""
    floor: float | None = None
    our_memory: float | None = None
    their_memory: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Masked:
    """A segmentation-aware convolution, channels to as many channels."""

    channels: int
    size: int
    dilation: int


def on_device(work: Work, theirs: bool) -> bool:
    """Whether a side runs on a device here, and is timed by its events."""
    return torch.cuda.is_available() if theirs else device.get_mode() == "GPU"


def milliseconds(work: Work, events: bool) -> float:
    """What a run takes: between two events of the current stream, or by the clock."""
    device.synchronize()
    if not events:
        start = time.perf_counter()
        work()
        device.synchronize()
        return 1e3 * (time.perf_counter() - start)
    gpu = device.xp()
    first, last = gpu.cuda.Event(), gpu.cuda.Event()
    first.record()
    work()
    last.record()
    last.synchronize()
    return float(gpu.cuda.get_elapsed_time(first, last))


def time_pair(ours: Work, theirs: Work, runs: int, warmup: int = 3) -> tuple[float, float]:
    """Median milliseconds of both, run in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(warmup + runs):
        for k, (work, kept) in enumerate(zip((ours, theirs), times, strict=True)):
            took = milliseconds(work, on_device(work, bool(k)))
            if i >= warmup:
                kept.append(took)
    return median(times[0]), median(times[1])


def measure_speeds(smoke: bool) -> Speeds:
    """Bandwidth of a copy of 1 GiB, read and written bytes counted, and the speed of a product of 8192 x 8192."""
    source = torch.empty(1 << (16 if smoke else 28))
    target, a = torch.empty_like(source), torch.randn(*[64 if smoke else 8192] * 2)
    events = torch.cuda.is_available()
    copy, product = (
        median(milliseconds(work, events) for _ in range(9)) for work in (lambda: target.copy_(source), lambda: a @ a)
    )
    return Speeds(2e3 * source.numel() * 4 / copy, 1e3 * len(a) ** 3 / product)


def our_memory(work: Work) -> float | None:
    """Megabytes that our side takes of the device once it runs; None without one."""
    if device.get_mode() == "CPU":
        return None
    memory.free_unused()
    work()
    device.synchronize()
    return memory.usage().held / MEGABYTE


def their_memory(work: Work) -> float | None:
    """Megabytes of PyTorch's tensors at most; None without a device."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / MEGABYTE


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
        """A convolution of that shape by cuDNN, without a mask."""
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


def masked_lines(name: str, bench: Bench) -> list[Line]:
    """Forward, forward and backward, and forward beside a plain convolution, of one masked convolution."""
    work = replace(MASKED[name], channels=8, size=15) if bench.smoke else MASKED[name]
    pair = MaskedPair(work)
    note = f"differs by {pair.difference():.0e}"
    floor = bench.speeds.floor(pair.bytes, pair.products)
    title = f"masked conv {work.channels} to {work.channels} at {work.size}², dilation {work.dilation}"
    lines = []
    for what, ours, theirs, wanted, least in (
        ("forward, beside unfold", pair.forward, pair.their_forward, ">= 10", floor),
        ("forward and backward, beside unfold", pair.both, pair.their_both, ">= 6", 3 * floor),
        ("forward, beside a plain conv", pair.forward, pair.plain, ">= 0.67", floor),
    ):
        times = time_pair(ours, theirs, bench.runs)
        held = our_memory(ours), their_memory(theirs)
        lines.append(Line(f"{title}: {what}", *times, wanted, least, *held, note))
    return lines


def products_of(net: Net) -> float:
    """Multiply-adds of a net's forward pass: weights times positions, and a mean field's windows."""
    total = 0.0
    for layer, bottom, top in zip(net.layers, net.bottom_blobs, net.top_blobs, strict=True):
        if layer.type in ("Convolution", "InnerProduct", "Deconvolution") and layer.blobs:
            side = bottom if layer.type == "Deconvolution" else top
            shape = side[0].shape
            positions = shape[0] * (int(np.prod(shape[2:])) if layer.type != "InnerProduct" else 1)
            total += float(layer.blobs[0].count) * positions
        elif layer.type == "NormConvMeanfield":
            total += _meanfield_products(layer, bottom)
    return total


def _meanfield_products(layer: Any, bottom: Sequence[Any]) -> float:
    """Distances once, and sums in each iteration, over all taps of the windows and all pixels."""
    number, classes, *size = bottom[0].shape
    sums = layer.num_iterations * classes
    features = [bottom[guide].shape[1] + sums for guide in layer.guides]
    each = sum(window.taps * depth for window, depth in zip(layer.windows, features, strict=True))
    return float(each) * number * float(np.prod(size))


def net_lines(name: str, bench: Bench) -> list[Line]:
    """A net layer by layer and replayed as CUDA graphs, both beside PyTorch."""
    chosen = NETS[name]
    size = chosen.row.small if bench.smoke else chosen.size
    row = replace(chosen.row, size=size, peer="torch")
    ours = nets.side(row, "ours")
    assert isinstance(ours, nets.Ours)
    limit = f", < {chosen.megabytes:g} MB" if chosen.megabytes else ""
    products = products_of(ours.net) * (3 if row.work != "forward" else 1)
    read = 4.0 * sum(blob.count for blobs in ours.net.params.values() for blob in blobs)
    floor = bench.speeds.floor(read, products)
    for _ in range(3):
        ours.run()
    held = our_memory(ours.run)
    theirs = nets.side(row, "torch")
    assert isinstance(theirs, nets.Theirs)
    if torch.cuda.is_available():
        theirs.seeds = {key: seed.cuda() for key, seed in theirs.seeds.items()}
    lines = []
    for graphs in (False, True) if device.get_mode() == "GPU" else (False,):
        device.configure(graphs=graphs)
        times = time_pair(ours.run, theirs.run, bench.runs, warmup=4)
        title = f"{name} at {size}²{', replayed' if graphs else ''}"
        sizes = our_memory(ours.run) if graphs else held, their_memory(theirs.run)
        lines.append(Line(title, *times, f">= {chosen.wanted:g}{limit}", floor, *sizes))
    device.configure(graphs=False)
    return lines


def gap_lines(name: str, bench: Bench) -> list[Line]:
    """How much of a forward pass the device is busy, layer by layer and replayed."""
    chosen = NETS[name]
    size = chosen.row.small if bench.smoke else chosen.size
    ours = nets.side(replace(chosen.row, size=size), "ours")
    assert isinstance(ours, nets.Ours)
    lines = []
    for graphs in (False, True) if device.get_mode() == "GPU" else (False,):
        device.configure(graphs=graphs)
        for _ in range(4):
            ours.run()
        wall = median(milliseconds(ours.run, device.get_mode() == "GPU") for _ in range(bench.runs))
        busy, note = gpu_trace.busy_milliseconds(ours.net, ours.run, traced=torch.cuda.is_available())
        title = f"launch gaps, {name} at {size}²{', replayed' if graphs else ''}: busy {100 * busy / wall:.0f} %"
        lines.append(Line(title, wall, None, "busy >= 90 %", busy, note=note))
    device.configure(graphs=False)
    return lines


MASKED = {
    "masked 64": Masked(64, 321, 1),
    "masked 512": Masked(512, 41, 2),
    "masked 1024": Masked(1024, 41, 12),
}
ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    **{name: functools.partial(masked_lines, name) for name in MASKED},
    **{name: functools.partial(net_lines, name) for name in NETS},
    "launch gaps": functools.partial(gap_lines, "config_resnet test"),
}
"""Every row by name."""
