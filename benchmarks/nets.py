"""Whole nets beside the same in PyTorch: python -m benchmarks.nets [ROW ...] [--runs N] [--memory] [--check].

Every row runs both sides in turn in one process, with the same weights and (random) inputs: with two threads each,
timed on the wall, and with one, in processor time, which other programs on the machine hardly disturb. Times are
medians in ms: ours, theirs, and how many times as fast ours is (in brackets: the best runs). ``--memory`` then runs
each side in a process of its own and tells its largest resident size. ``--check`` compares outputs, losses and
gradients on small images instead of timing. ``--profile`` shows where our time goes. PyTorch must be installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import PAUSE, interleave
from segcaffe import device
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.template import read_vars
from segcaffe.proto.text import parse, read_net
from segcaffe.recipes import resnet
from segcaffe.recipes.layers import layer
from segcaffe.recipes.layers import net as net_text
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from segcaffe.threads import parallel

if TYPE_CHECKING:
    from benchmarks.torch_net import TorchNet

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parent
CONFIGS = ROOT.parent / "configs"
CLASSES = 21
MEGABYTE = 2**20


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    net:
        From a size (of the image; of the batch for small nets) to the net.
    size, small:
        The size that is timed, and the one for ``--check``.
    work:
        "forward", "both" (forward and backward from given gradients of the outputs), or "iteration" (with the update).
    peer:
        "torch", or "unfused": our own graph, layer by layer, each blob in memory of its own.
    target:
        How many times as fast as the peer the row should be.
    runs:
        How often both sides run.
    """

    net: Callable[[int], caffe_pb2.NetParameter]
    size: int
    small: int
    work: str
    target: float
    peer: str = "torch"
    runs: int = 7
    repeat: int = 1


def _config(name: str, file: str, size: int) -> caffe_pb2.NetParameter:
    half = (size + 1) // 2
    sizes = {
        "HEIGHT": size,
        "WIDTH": size,
        "HALF_HEIGHT": half,
        "HALF_WIDTH": half,
        "CROP_SIZE": size,
        "HALF_SIZE": half,
    }
    values = read_vars(CONFIGS / name / "voc.vars") | {key: str(value) for key, value in sizes.items()}
    return _with_inputs(read_net(CONFIGS / name / f"{file}.prototxt", values).message, size)


def _with_inputs(param: caffe_pb2.NetParameter, size: int) -> caffe_pb2.NetParameter:
    """Put an Input in the place of the layer that reads images."""
    reader = param.layer[0]
    if reader.type != "Input":
        reader.type = "Input"
        for channels, _ in zip((3, 1), reader.top, strict=True):
            reader.input_param.shape.add().dim.extend((1, channels, size, size))
    return param


def _file(name: str, **values: int) -> caffe_pb2.NetParameter:
    path = ROOT / "nets" / f"{name}.prototxt"
    return read_net(path, {key: str(value) for key, value in values.items()}).message


def _resnet101(size: int) -> caffe_pb2.NetParameter:
    """The trunk and a classifier, in training; labels at an eighth of the resolution."""
    small = (size - 1) // 8 + 1
    shapes = f"shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }} shape {{ dim: 1 dim: 1 dim: {small} dim: {small} }}"
    layers = [
        layer("Input", "data", tops=["data", "label"], body=f"input_param {{ {shapes} }}"),
        *resnet.trunk("data", "", 1),
        *resnet._classifiers("fc1", "", CLASSES, (1, 2)),
        layer("SoftmaxWithLoss", "loss", ["fc1", "label"]),
    ]
    return parse(net_text("resnet101", layers), caffe_pb2.NetParameter())


def _crf(size: int) -> caffe_pb2.NetParameter:
    shapes = " ".join(f"shape {{ dim: 1 dim: {c} dim: {size} dim: {size} }}" for c in (CLASSES, CLASSES, 66, 2))
    blobs = ["unary", "q0", "guide", "xy"]
    layers = [
        layer("Input", "inputs", tops=blobs, body=f"input_param {{ {shapes} }}"),
        layer("NormConvMeanfield", "crf", blobs, body=resnet._meanfield(1)),
    ]
    return parse("force_backward: true " + net_text("crf", layers), caffe_pb2.NetParameter())


def _vgg16_deploy(size: int) -> caffe_pb2.NetParameter:
    return _config("vgg16", "deploy", size)


def _vgg16_train(size: int) -> caffe_pb2.NetParameter:
    return _config("vgg16", "train", size)


def _resnet_deploy(size: int) -> caffe_pb2.NetParameter:
    return _config("resnet", "deploy", size)


def _vgg16_dilated(size: int) -> caffe_pb2.NetParameter:
    return _file("vgg16_dilated", SIZE=size)


def _lenet(batch: int) -> caffe_pb2.NetParameter:
    return _file("lenet", BATCH=batch)


def _cifar10_quick(batch: int) -> caffe_pb2.NetParameter:
    return _file("cifar10_quick", BATCH=batch)


ROWS = {
    "crf forward": Row(_crf, 129, 31, "forward", 250, runs=3),
    "crf both": Row(_crf, 129, 31, "both", 120, runs=3),
    "vgg16 deploy": Row(_vgg16_deploy, 321, 65, "forward", 4, peer="unfused", runs=3),
    "vgg16 iteration": Row(_vgg16_train, 321, 65, "iteration", 5, runs=3),
    "resnet deploy": Row(_resnet_deploy, 321, 65, "forward", 1.2, runs=3),
    "vgg16_dilated forward": Row(_vgg16_dilated, 321, 65, "forward", 1.3, runs=5),
    "resnet101 iteration": Row(_resnet101, 161, 65, "iteration", 1, runs=5),
    "lenet iteration": Row(_lenet, 100, 3, "iteration", 1, runs=15, repeat=10),
    "cifar10_quick iteration": Row(_cifar10_quick, 100, 3, "iteration", 1, runs=15, repeat=5),
}


def fill(net: Net) -> None:
    """Give parameters and inputs values by name: those of a trained net's size."""
    for name, blobs in net.params.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        kind = net.layer_dict[name].type
        for index, blob in enumerate(blobs):
            values = _parameter(kind, index, blob.shape, rng)
            if values is not None:
                blob.data[...] = values
    for node, bottom in zip(net.graph.nodes, net.top_blobs, strict=True):
        if node.param.type == "Input":
            for name, blob in zip(node.param.top, bottom, strict=True):
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                labels = name == "label"
                limit = 10 if len(blob.shape) == 1 else CLASSES
                blob.data[...] = rng.integers(0, limit, blob.shape) if labels else _image(name, blob.shape, rng)


def _parameter(kind: str, index: int, shape: tuple[int, ...], rng: np.random.Generator) -> Array | float | None:
    """Values of a parameter; None to leave it as its filler made it."""
    if kind == "BatchNorm":
        return 1.0 if index == 2 else rng.uniform(0.5, 1.5, shape) if index == 1 else 0.1 * rng.standard_normal(shape)
    if kind == "Scale":
        return rng.uniform(0.3, 0.6, shape) if shape != () else None
    if kind == "NormConvMeanfield":
        return None
    return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])) if index == 0 else rng.uniform(-0.1, 0.1, shape)


def _image(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if name == "guide":
        return 0.2 * rng.standard_normal(shape)
    if name == "xy":
        return 0.05 * np.stack(np.meshgrid(np.arange(shape[3]), np.arange(shape[2])))[None]
    return rng.standard_normal(shape)


class Ours:
    """A row by segcaffe: fused and with shared memory, as the commands do, or layer by layer."""

    def __init__(self, row: Row, size: int, fused: bool = True) -> None:
        self.row = row
        self.solver: Solver | None = None
        options = {"fuse": fused, "share_memory": fused}
        if row.work == "iteration":
            self.solver = _solver(row.net(size), options)
            self.net = self.solver.net
        else:
            self.net = Net(row.net(size), phase=caffe_pb2.TEST, **options)
        fill(self.net)
        self.seeds: dict[str, Array] = {}
        if row.work == "both":
            rng = np.random.default_rng(1)
            self.seeds = {name: rng.standard_normal(self.net.blobs[name].shape) for name in self.net.outputs}
            for name, seed in self.seeds.items():
                self.net.blobs[name].diff[...] = seed

    def run(self) -> None:
        """Do the row's work once."""
        net, last = self.net, len(self.net.layers) - 1
        if self.solver is not None:
            self.solver.step(1)
            return
        net.forward_from_to(0, last)
        if self.row.work == "both":
            net.clear_param_diffs()
            net.backward_from_to(last, 0)


def _solver(param: caffe_pb2.NetParameter, options: dict[str, bool]) -> Solver:
    text = 'type: "SGD" base_lr: 1e-6 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed"'
    solver = parse(text, caffe_pb2.SolverParameter())
    solver.net_param.CopyFrom(param)
    solver.snapshot_prefix = str(Path(tempfile.gettempdir()) / "benchmark")
    return get_solver(solver, net_options=options)


class Theirs:
    """A row by PyTorch."""

    def __init__(self, row: Row, size: int) -> None:
        import torch

        from benchmarks.torch_net import TorchNet

        phase = caffe_pb2.TRAIN if row.work == "iteration" else caffe_pb2.TEST
        net = Net(row.net(size), phase=phase, fuse=False)
        fill(net)
        self.row = row
        self.net: TorchNet = TorchNet(net, 1e-6)
        self.net.read_inputs()
        rng = np.random.default_rng(1)
        shapes = {name: net.blobs[name].shape for name in net.outputs}
        self.seeds = {name: torch.from_numpy(rng.standard_normal(s).astype(np.float32)) for name, s in shapes.items()}

    def run(self) -> None:
        """Do the row's work once."""
        if self.row.work == "iteration":
            self.net.iterate()
        elif self.row.work == "both":
            self.net.both(self.seeds)
        else:
            self.net.forward()


def side(row: Row, name: str) -> Ours | Theirs:
    """One side of a row: "ours", "unfused" or "torch"."""
    return Theirs(row, row.size) if name == "torch" else Ours(row, row.size, fused=name == "ours")


def compare(name: str, row: Row, runs: int | None) -> str:
    """Time both sides in turn, with two threads on the wall and with one in processor time; returns a line."""
    ours, theirs = side(row, "ours"), side(row, row.peer)
    cells = []
    for threads, clock in ((2, time.perf_counter), (1, time.process_time)):
        set_threads(threads, row.peer)
        cells += _times(row, ours.run, theirs.run, runs or row.runs, clock)
    return f"| {name} | {row.peer} | {' | '.join(cells)} | {row.target:g} |"


def set_threads(count: int, peer: str) -> None:
    """Let both sides use as many threads."""
    parallel.set_num_threads(count)
    if peer == "torch":
        import torch

        torch.set_num_threads(count)


def _times(
    row: Row, ours: Callable[[], None], theirs: Callable[[], None], runs: int, clock: Callable[[], float]
) -> list[str]:
    """Median milliseconds of ours and theirs, how many times as fast ours is, and in brackets that of the best runs."""

    def repeated(work: Callable[[], None]) -> Callable[[], None]:
        return lambda: [work() for _ in range(row.repeat)] and None

    warmup = 1 if runs <= 3 else 2
    pair = interleave(repeated(ours), repeated(theirs), runs, warmup, pause=PAUSE, clock=clock)
    mine, other = (1e3 * median(times) / row.repeat for times in (pair.ours, pair.theirs))
    return [f"{mine:.1f}", f"{other:.1f}", f"{1 / pair.ratio:.2f} ({1 / pair.best_ratio:.2f})"]


def peak_memory(name: str, which: str) -> tuple[float, float]:
    """Largest resident size and the size before the net was made, in MB, of one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.nets", name, "--side", which]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    peak, before, *_ = json.loads(found.stdout.splitlines()[-1])
    return peak, before


def measure_memory(row: Row, which: str) -> None:
    """Run one side three times and print [largest resident size, that before, seconds...]; sizes in MB."""
    if which == "torch":
        import torch  # noqa: F401
    before = _resident()
    set_threads(2, which)
    one, seconds = side(row, which), []
    for _ in range(3):
        start = time.perf_counter()
        one.run()
        seconds.append(time.perf_counter() - start)
    print(json.dumps([_resident(), before, *seconds]))


def _resident() -> float:
    """The process's largest resident size so far, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0


def check(row: Row) -> dict[str, float]:
    """Differences of outputs, loss and gradients on a small size, relative to the largest value of each."""
    net = row.net(row.small)
    for one in net.layer:
        if one.type == "Dropout":
            one.dropout_param.dropout_ratio = 0
    small = Row(lambda _: net, row.small, row.small, row.work, 1)
    ours, theirs = Ours(small, row.small), Theirs(small, row.small)
    if row.work == "iteration":
        assert ours.solver is not None
        ours.net.clear_param_diffs()
        losses = ours.net.forward_from_to(0, len(ours.net.layers) - 1), theirs.net.backward()
        ours.net.backward_from_to(len(ours.net.layers) - 1, 0)
        return {"loss": abs(losses[0] / losses[1] - 1)} | _gradients(ours.net, theirs.net)
    ours.run()
    theirs.run()
    if row.work == "both":
        given = theirs.net.inputs.items()
        errors = {name: _error(ours.net.blobs[name].diff, tensor.grad) for name, tensor in given}
        return errors | _gradients(ours.net, theirs.net)
    return {name: _error(ours.net.blobs[name].data, value) for name, value in theirs.net.forward().items()}


def _gradients(ours: Net, theirs: TorchNet) -> dict[str, float]:
    """Differences by layer: those of a bias count beside its weight, as it may be zero but for rounding."""
    errors = {}
    for name, blobs in ours.params.items():
        grads = [theirs.gradient(name, index) for index in range(len(blobs))]
        pairs = [(blob.diff.ravel(), g.ravel()) for blob, g in zip(blobs, grads, strict=True) if g is not None]
        if pairs:
            found, expected = (np.concatenate(side) for side in zip(*pairs, strict=True))
            errors[name] = _error(found, expected)
    return errors


def _error(found: Array, expected: Any) -> float:
    values = np.asarray(expected).reshape(found.shape)
    return float(np.abs(found - values).max() / max(float(np.abs(values).max()), 1e-30))


def profile(row: Row, runs: int) -> list[str]:
    """Milliseconds of our work by layer type and direction, and of the slowest layers."""
    ours = Ours(row, row.size)
    ours.run()
    spent: dict[tuple[str, str, str], float] = {}

    def timed(key: tuple[str, str, str], function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            spent[key] = spent.get(key, 0.0) + time.perf_counter() - start
            return result

        return call

    for one in ours.net.layers:
        for way in ("forward", "backward"):
            setattr(one, way, timed((one.type, way, one.name), getattr(one, way)))
    if ours.solver is not None:
        ours.solver.apply_update = timed(("(update)", "", ""), ours.solver.apply_update)  # type: ignore[method-assign]
        ours.net.clear_param_diffs = timed(("(clear)", "", ""), ours.net.clear_param_diffs)  # type: ignore[method-assign]
    start = time.perf_counter()
    for _ in range(runs):
        ours.run()
    spent["(the rest)", "", ""] = time.perf_counter() - start - sum(spent.values())
    kinds: dict[tuple[str, str], float] = {}
    for (kind, way, _), seconds in spent.items():
        kinds[kind, way] = kinds.get((kind, way), 0.0) + seconds
    parts = sorted(kinds.items(), key=lambda item: -item[1])
    slowest = sorted(spent.items(), key=lambda item: -item[1])[:25]
    return [f"{' '.join(key):60} {1e3 * seconds / runs:9.3f}" for key, seconds in [*parts, *slowest]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="only rows whose names begin so")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--memory", action="store_true", help="also the largest resident size of each side")
    parser.add_argument("--check", action="store_true", help="compare values on small images instead")
    parser.add_argument("--profile", action="store_true", help="our time by layer type instead")
    parser.add_argument("--side", choices=("ours", "unfused", "torch"), help="print memory and first times of one side")
    options = parser.parse_args()
    device.set_mode_cpu()
    rows = {name: row for name, row in ROWS.items() if not options.rows or name.startswith(tuple(options.rows))}
    if not rows:
        parser.error(f"no row begins with {', '.join(options.rows)}. Rows: {', '.join(ROWS)}")
    for name, row in rows.items():
        if options.side:
            measure_memory(row, options.side)
        elif options.check:
            errors = check(row)
            worst = max(errors, key=lambda key: errors[key])
            print(f"{name}: {len(errors)} arrays, largest difference {errors[worst]:.1e} ({worst})", flush=True)
        elif options.profile:
            print(name, *profile(row, options.runs or row.runs), sep="\n", flush=True)
        else:
            print(compare(name, row, options.runs), flush=True)
            if options.memory:
                sizes = {which: peak_memory(name, which) for which in ("ours", row.peer)}
                print(
                    *[f"{key}: {peak:.0f} MB ({before:.0f} before)" for key, (peak, before) in sizes.items()], sep="; "
                )


if __name__ == "__main__":
    main()
