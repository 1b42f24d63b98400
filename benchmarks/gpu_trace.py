"""Where the device's time goes in a net: python -m benchmarks.gpu_trace [ROW] [--out DIR] [--graphs] [--nvtx].

Layers are timed by pairs of events behind a kernel that keeps the device waiting until the host has asked for the
whole layer: so what is measured is the device's own time, without gaps between launches. Where PyTorch sees the
device, its profiler records each kernel of the process, ours too, and the device is busy where one of them runs.
``DIR/layers.json`` and ``DIR/kernels.json`` are traces for chrome://tracing or Perfetto. With ``--nvtx`` the layers of
a few passes are marked for Nsight Systems and nothing is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import nets
from benchmarks.gpu_nets import NETS
from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.kernels.cuda.compile import BLOCK
from segcaffe.net.net import Net

Work = Callable[[], object]
_WAIT = """
extern "C" __global__ void wait(long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""
_CYCLES = 8_000_000
"""How long the device waits before each layer: some 5 ms, in which the host asks for all of a layer's work."""


@dataclass(frozen=True)
class Span:
    """A layer's pass: its name, type and direction, and the milliseconds that it took the device."""

    name: str
    type: str
    way: str
    milliseconds: float


@contextlib.contextmanager
def around_layers(net: Net, wrap: Callable[[Any, str, Work], Work]) -> Iterator[None]:
    """Replace the passes of each layer by ``wrap(layer, "forward" or "backward", pass)``, for a while."""
    for layer in net.layers:
        for way in ("forward", "backward"):
            setattr(layer, way, wrap(layer, way, getattr(layer, way)))
    try:
        yield
    finally:
        for layer in net.layers:
            for way in ("forward", "backward"):
                delattr(layer, way)


def layer_spans(net: Net, run: Work) -> list[Span]:
    """Time each layer's passes in one run, which is not replayed, on the device (by the clock without one)."""
    timer = _time_on_device if device.get_mode() == "GPU" else _time_on_host
    found: list[tuple[Any, str, Callable[[], float]]] = []

    def timed(layer: Any, way: str, work: Work) -> Work:
        def call(*arguments: Any) -> None:
            found.append((layer, way, timer(functools.partial(work, *arguments))))

        return call

    before = device.configure(graphs=False)
    with around_layers(net, timed):
        run()
    device.configure(graphs=before.graphs)
    return [Span(layer.name, layer.type, way, read()) for layer, way, read in found]


def _time_on_device(work: Work) -> Callable[[], float]:
    gpu = device.xp()
    first, last = gpu.cuda.Event(), gpu.cuda.Event()
    _waiter(gpu)((1,), (1,), (_CYCLES,))
    first.record()
    work()
    last.record()

    def read() -> float:
        last.synchronize()
        return float(gpu.cuda.get_elapsed_time(first, last))

    return read


def _time_on_host(work: Work) -> Callable[[], float]:
    start = time.perf_counter()
    work()
    took = 1e3 * (time.perf_counter() - start)
    return lambda: took


@functools.cache
def _waiter(gpu: Any) -> Any:
    return gpu.RawKernel(_WAIT, "wait", options=(f"-DBLOCK={BLOCK}",))


@contextlib.contextmanager
def marked_layers(net: Net) -> Iterator[None]:
    """Mark each layer's passes as an NVTX range, which Nsight Systems shows."""
    nvtx = device.xp().cuda.nvtx

    def marked(layer: Any, way: str, work: Work) -> Work:
        def call(*arguments: Any) -> None:
            nvtx.RangePush(f"{layer.name} {way}")
            try:
                work(*arguments)
            finally:
                nvtx.RangePop()

        return call

    with around_layers(net, marked):
        yield


def kernel_intervals(run: Work) -> list[tuple[str, float, float]]:
    """Name, begin and end in milliseconds of each kernel and copy on the device in one run, by PyTorch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity

    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as recorded:
        run()
        device.synchronize()
        torch.cuda.synchronize()
    found = [e for e in recorded.events() or [] if e.device_type == torch.autograd.DeviceType.CUDA]
    return sorted(((e.name, e.time_range.start / 1e3, e.time_range.end / 1e3) for e in found), key=lambda e: e[1])


def covered(intervals: Sequence[tuple[str, float, float]]) -> float:
    """Milliseconds in which at least one of the intervals, sorted by their begin, goes on."""
    total, reached = 0.0, float("-inf")
    for _, begin, end in intervals:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def busy_milliseconds(net: Net, run: Work, traced: bool) -> tuple[float, str]:
    """How long a run keeps the device busy, by the kernels of a trace or else by the layers' own times; and which."""
    if traced:
        try:
            intervals = kernel_intervals(run)
        except RuntimeError:
            # The profiler has no access to the device's counters: layers are timed instead.
            intervals = []
        if intervals:
            whole = intervals[-1][2] - intervals[0][1]
            share = 100 * covered(intervals) / max(whole, 1e-9)
            return covered(intervals), f"{len(intervals)} kernels and copies; while traced busy {share:.0f} %"
    spans = layer_spans(net, run)
    return sum(span.milliseconds for span in spans), f"{len(spans)} layers, timed one by one"


def chrome_trace(intervals: Sequence[tuple[str, float, float]], track: str) -> dict[str, Any]:
    """Intervals as the JSON that chrome://tracing and Perfetto read."""
    events = [
        {"name": name, "ph": "X", "ts": 1e3 * begin, "dur": 1e3 * (end - begin), "pid": 0, "tid": track}
        for name, begin, end in intervals
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def in_a_row(spans: Sequence[Span]) -> list[tuple[str, float, float]]:
    """Spans one after the other, as intervals."""
    found, now = [], 0.0
    for span in spans:
        found.append((f"{span.name} ({span.type}, {span.way})", now, now + span.milliseconds))
        now += span.milliseconds
    return found


def summary(spans: Sequence[Span]) -> list[str]:
    """Lines of a table: milliseconds by type and direction, the most first."""
    kinds: dict[tuple[str, str], list[float]] = {}
    for span in spans:
        kinds.setdefault((span.type, span.way), []).append(span.milliseconds)
    rows = sorted(kinds.items(), key=lambda item: -sum(item[1]))
    return [f"| {kind} {way} | {len(times)} | {sum(times):.3f} |" for (kind, way), times in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Trace one net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", default="config_resnet test", choices=list(NETS))
    parser.add_argument("--out", type=Path, default=Path("gpu-trace"), help="folder for the traces")
    parser.add_argument("--graphs", action="store_true", help="replay the net as CUDA graphs")
    parser.add_argument("--nvtx", action="store_true", help="mark layers for Nsight Systems, and measure nothing")
    parser.add_argument("--smoke", action="store_true", help="a small image, and the CPU where there is no GPU")
    options = parser.parse_args(arguments)
    try:
        device.set_mode_gpu()
    except DeviceError as error:
        if not options.smoke:
            print(f"benchmarks.gpu_trace: {error}", file=sys.stderr)
            return 2
    device.configure(graphs=options.graphs)
    row = NETS[options.row]
    ours = nets.side(replace(row.row, size=row.row.small if options.smoke else row.size), "ours")
    assert isinstance(ours, nets.Ours)
    for _ in range(4):
        ours.run()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.nvtx:
        with marked_layers(ours.net):
            ours.run()
            device.synchronize()
        return 0
    _write_traces(ours.net, ours.run, options.out)
    return 0


def _write_traces(net: Net, run: Work, out: Path) -> None:
    import torch

    spans = layer_spans(net, run)
    (out / "layers.json").write_text(json.dumps(chrome_trace(in_a_row(spans), "layers")), encoding="utf-8")
    print("| layers | number | ms |\n|---|---|---|", *summary(spans), sep="\n")
    if torch.cuda.is_available():
        intervals = kernel_intervals(run)
        (out / "kernels.json").write_text(json.dumps(chrome_trace(intervals, "kernels")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
