"""How time and memory grow: python -m benchmarks.growth [SWEEP ...] [--runs 5] [--picture docs/images/growth.png].

Each sweep varies one size of one net, with all others fixed: the image's side, the window's side, or the channels.
Time is that of a forward pass, one thread, processor time, the median of some runs; memory the peak of resident memory
above that before the net was built (Linux). Both are also given for one unit of what grows: a pixel, a tap or a
channel. The exponent is the slope of log(cost) over log(units), 1 where cost is in proportion; the second one is that
of the larger half, where fixed costs matter less. Below 1 costs that do not grow are shared among more units; above 1
something grows faster than the work. A fit of fixed cost + cost of a unit * units, of least relative error, tells the
two apart; given is also how far the costs lie from it at most.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.fusion import build
from benchmarks.memory import status, trim
from segcaffe.kernels.vector import scratch
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

SIDES = (65, 129, 193, 257, 321, 385, 449, 513)
WINDOWS = (3, 5, 7, 9, 11, 13)
CHANNELS = (16, 32, 64, 128, 256, 512)
MODEL = "configs/vgg16/deploy.prototxt"
CLASSES = 21
_SECONDS = 0.2
"""Short passes are repeated for at least so long."""
_CONVOLUTION = """
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 1 dim: {channels} dim: {side} dim: {side} }} }} }}
layer {{ name: "e" type: "Input" top: "e" input_param {{ shape {{ dim: 1 dim: 64 dim: {side} dim: {side} }} }} }}
layer {{ name: "dist" type: "Im2dist" bottom: "e" top: "dist"
  convolution_param {{ kernel_size: {window} pad: {pad} }} im2dist_param {{ norm: L1 }} }}
layer {{ name: "scale" type: "Scale" bottom: "dist" top: "dist"
  scale_param {{ num_axes: 0 filler {{ type: "constant" value: 0.05 }} }} }}
layer {{ name: "exp" type: "Exp" bottom: "dist" top: "mask" exp_param {{ scale: -1 }} }}
layer {{ name: "tile" type: "Tile" bottom: "mask" top: "tile" tile_param {{ tiles: {channels} }} }}
layer {{ name: "columns" type: "Im2col" bottom: "x" top: "columns"
  convolution_param {{ kernel_size: {window} pad: {pad} }} }}
layer {{ name: "hit" type: "Eltwise" bottom: "columns" bottom: "tile" top: "hit" eltwise_param {{ operation: PROD }} }}
layer {{ name: "conv" type: "Convolution" bottom: "hit" top: "y" convolution_param {{
  num_output: 64 kernel_size: {window} pad: {pad} bottom_is_im2col: true weight_filler {{ type: "xavier" }} }} }}
"""
_CRF = """
layer {{ name: "unary" type: "Input" top: "unary"
  input_param {{ shape {{ dim: 1 dim: 21 dim: {side} dim: {side} }} }} }}
layer {{ name: "q" type: "Input" top: "q" input_param {{ shape {{ dim: 1 dim: 21 dim: {side} dim: {side} }} }} }}
layer {{ name: "e" type: "Input" top: "e"
  input_param {{ shape {{ dim: 1 dim: {channels} dim: {side} dim: {side} }} }} }}
layer {{ name: "xy" type: "Input" top: "xy" input_param {{ shape {{ dim: 1 dim: 2 dim: {side} dim: {side} }} }} }}
layer {{ name: "crf" type: "NormConvMeanfield" bottom: "unary" bottom: "q" bottom: "e" bottom: "xy" top: "y"
  norm_conv_meanfield_param {{
    num_iterations: 2
    kernel_size: {window} pad: {pad} dilation: 1 scale: 1 remove_center: true remove_bounds: true
    kernel_size: 5 pad: 2 dilation: 1 scale: 1 remove_center: true remove_bounds: true }} }}
"""


@dataclass(frozen=True)
class Sweep:
    """One size of one net, varied.

    Attributes
    ----------
    what, unit:
        The net; what is counted ("pixel", "tap", "channel").
    values:
        The sizes.
    units:
        How many units a size makes.
    net:
        From a size to the net.
    """

    what: str
    unit: str
    values: Sequence[int]
    units: Callable[[int], int]
    net: Callable[[int], Net]


@dataclass(frozen=True)
class Point:
    """What one size costs."""

    value: int
    units: int
    seconds: float
    bytes: int


def _of(text: str, **fixed: int) -> Callable[..., Net]:
    """A function that makes the net of a text, from the sizes that are not fixed."""

    def make(**varied: int) -> Net:
        sizes = {**fixed, **varied}
        param = parse(text.format(pad=sizes["window"] // 2, **sizes), caffe_pb2.NetParameter(), "growth")
        net = Net(param, caffe_pb2.TEST, share_memory=True)
        rng = np.random.default_rng(0)
        for name in net.inputs:
            net.blobs[name].data[...] = 0.1 * rng.standard_normal(net.blobs[name].shape, np.float32)
        return net

    return make


def _square(value: int) -> int:
    return value * value


_convolution = _of(_CONVOLUTION, side=129, window=3, channels=64)
_crf = _of(_CRF, side=129, window=13, channels=64)
SWEEPS = {
    "convolution, image": Sweep("masked convolution", "pixel", SIDES, _square, lambda n: _convolution(side=n)),
    "convolution, window": Sweep("masked convolution", "tap", WINDOWS, _square, lambda n: _convolution(window=n)),
    "convolution, channels": Sweep("masked convolution", "channel", CHANNELS, int, lambda n: _convolution(channels=n)),
    "CRF, image": Sweep("CRF", "pixel", SIDES, _square, lambda n: _crf(side=n)),
    "CRF, window": Sweep("CRF", "tap", WINDOWS, _square, lambda n: _crf(window=n)),
    "CRF, channels": Sweep("CRF", "channel", CHANNELS, int, lambda n: _crf(channels=n)),
    "VGG-16, image": Sweep("VGG-16, deploy", "pixel", SIDES, _square, lambda n: build(MODEL, n, True, True)),
}


def measure(sweep: Sweep, value: int, runs: int) -> Point:
    """Time and memory of one size."""
    gc.collect()
    scratch.release()
    trim()
    before = status("VmRSS")
    net = sweep.net(value)
    last = len(net.layers) - 1
    net.forward_from_to(0, last)
    times: list[float] = []
    for _ in range(runs):
        start, count = time.process_time(), 0
        while count == 0 or time.process_time() - start < _SECONDS:
            net.forward_from_to(0, last)
            count += 1
        times.append((time.process_time() - start) / count)
    return Point(value, sweep.units(value), median(times), status("VmHWM") - before)


def exponent(points: Sequence[Point], cost: Callable[[Point], float]) -> float:
    """Slope of log(cost) over log(units)."""
    x = [math.log(point.units) for point in points]
    return float(np.polyfit(x, [math.log(cost(point)) for point in points], 1)[0])


def affine(points: Sequence[Point], cost: Callable[[Point], float]) -> tuple[float, float, float]:
    """Fixed cost, cost of a unit, and the largest relative distance from them."""
    costs = np.array([cost(point) for point in points])
    units = np.array([point.units for point in points], float)
    matrix = np.stack([np.ones_like(units), units], 1)
    (fixed, each), *_ = np.linalg.lstsq(matrix / costs[:, None], np.ones_like(costs), rcond=None)
    return float(fixed), float(each), float(np.abs(matrix @ (fixed, each) / costs - 1).max())


def report(name: str, sweep: Sweep, points: Sequence[Point]) -> None:
    """Print the points and the exponents."""
    print(f"\n{name}\n\n| {sweep.unit}s | size | ms | ns per {sweep.unit} | MB | bytes per {sweep.unit} |")
    print("|---|---|---|---|---|---|")
    for one in points:
        print(f"| {one.units} | {one.value} | {1e3 * one.seconds:.1f} | {1e9 * one.seconds / one.units:.0f} | "
              f"{one.bytes / 1e6:.1f} | {one.bytes / one.units:.0f} |")  # fmt: skip
    upper = points[len(points) // 2 - 1 :]
    print()
    for what, cost, factor, name in (("time", _seconds, 1e3, "ms"), ("memory", _bytes, 1e-6, "MB")):
        fixed, each, off = affine(points, cost)
        print(
            f"{what}: exponent {exponent(points, cost):.2f}, larger half {exponent(upper, cost):.2f}; "
            f"{factor * fixed:.2f} {name} + {1e3 * factor * each:.4g} {name} per 1000 {sweep.unit}s, within {off:.0%}",
            flush=True,
        )


def _seconds(point: Point) -> float:
    return point.seconds


def _bytes(point: Point) -> float:
    return float(max(point.bytes, 1))


def draw(results: dict[str, list[Point]], path: Path) -> None:
    """Write the picture: cost over units, both on logarithmic axes, beside fixed cost + cost of a unit * units."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = [unit for unit in ("pixel", "tap", "channel") if any(SWEEPS[name].unit == unit for name in results)]
    figure, axes = plt.subplots(2, len(kinds), figsize=(4 * len(kinds), 7), squeeze=False)
    for column, unit in enumerate(kinds):
        chosen = {name: points for name, points in results.items() if SWEEPS[name].unit == unit}
        for row, (cost, factor, label) in enumerate(((_seconds, 1e3, "ms"), (_bytes, 1e-6, "MB"))):
            axis = axes[row, column]
            for name, points in chosen.items():
                units = np.array([point.units for point in points], float)
                fixed, each, _ = affine(points, cost)
                (line,) = axis.plot(units, [factor * cost(point) for point in points], "o", label=SWEEPS[name].what)
                axis.plot(units, factor * (fixed + each * units), ":", color=line.get_color())
            axis.set(xscale="log", yscale="log", xlabel=f"{unit}s", ylabel=label)
            ticks = [point.units for points in list(chosen.values())[:1] for point in points]
            axis.set_xticks(ticks if unit != "pixel" else [ticks[0], ticks[1], ticks[3], ticks[-1]], minor=False)
            axis.xaxis.set_major_formatter("{x:.0f}")
            axis.yaxis.set_major_formatter("{x:g}")
            for one in (axis.xaxis, axis.yaxis):
                one.set_minor_formatter("")
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.suptitle("Forward pass, one thread: time and peak memory; dotted: a fixed cost + a cost for each unit")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Print the tables, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help=f"of: {'; '.join(SWEEPS)}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    parallel.set_num_threads(1)
    results: dict[str, list[Point]] = {}
    for name in options.sweeps or SWEEPS:
        sweep = SWEEPS[name]
        # Kernels are compiled and libraries loaded before anything is measured.
        measure(sweep, sweep.values[0], 1)
        results[name] = [measure(sweep, value, options.runs) for value in sweep.values]
        report(name, sweep, results[name])
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
