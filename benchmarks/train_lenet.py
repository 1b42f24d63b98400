"""LeNet on MNIST with each of the six solvers: time per iteration beside PyTorch, and what training comes to.

Run: python -m benchmarks.train_lenet [--mnist FOLDER] [--solver Adam] [--batch 64] [--profile] [--train 300]
FOLDER has t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz; without one the images are noise.
PyTorch must be installed; both sides use the same number of threads, the same weights and the same batches.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import interleave
from segcaffe import device
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
NET = """
name: "LeNet"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: %(batch)d dim: 1 dim: 28 dim: 28 } shape { dim: %(batch)d } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
OPTIONS = {
    "SGD": "base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005",
    "Nesterov": "base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005",
    "AdaGrad": "base_lr: 0.01 weight_decay: 0.0005",
    "RMSProp": "base_lr: 0.001 rms_decay: 0.98 weight_decay: 0.0005",
    "AdaDelta": "base_lr: 1.0 momentum: 0.95 delta: 1e-6 weight_decay: 0.0005",
    "Adam": "base_lr: 0.001 momentum: 0.9 momentum2: 0.999",
}
"""Options as in upstream Caffe's MNIST examples."""
LAYERS = ("conv1", "conv2", "ip1", "ip2")


def lenet_solver(kind: str, batch: int) -> Solver:
    """A solver of one kind on LeNet, its images and labels to be set before each step."""
    param = parse(f'type: "{kind}" {OPTIONS[kind]} lr_policy: "fixed" random_seed: 1', caffe_pb2.SolverParameter())
    parse(NET % {"batch": batch}, param.net_param)
    param.snapshot_prefix = str(Path(tempfile.gettempdir()) / "lenet")
    return get_solver(param)


class TorchLeNet:
    """The same net and step as one writes them in PyTorch, from the same weights."""

    def __init__(self, solver: Solver, kind: str) -> None:
        self.params = {name: [torch.tensor(np.array(blob.data), requires_grad=True) for blob in solver.net.params[name]]
                       for name in LAYERS}  # fmt: skip
        rate = solver.param.base_lr
        groups = [{"params": [self.params[name][i] for name in LAYERS], "lr": rate * (i + 1)} for i in range(2)]
        decay = solver.param.weight_decay
        make: dict[str, Callable[[], torch.optim.Optimizer]] = {
            "SGD": lambda: torch.optim.SGD(groups, momentum=0.9, weight_decay=decay, fused=True),
            "Nesterov": lambda: torch.optim.SGD(groups, momentum=0.9, weight_decay=decay, nesterov=True, fused=True),
            "AdaGrad": lambda: torch.optim.Adagrad(groups, weight_decay=decay, eps=1e-8, fused=True),
            "RMSProp": lambda: torch.optim.RMSprop(groups, alpha=0.98, weight_decay=decay),
            "AdaDelta": lambda: torch.optim.Adadelta(groups, rho=0.95, eps=1e-6, weight_decay=decay),
            "Adam": lambda: torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8, fused=True),
        }
        self.optimizer = make[kind]()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Forward, backward and update; returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        x = functional.max_pool2d(functional.conv2d(images, *self.params["conv1"]), 2)
        x = functional.max_pool2d(functional.conv2d(x, *self.params["conv2"]), 2)
        x = functional.relu(functional.linear(x.flatten(1), *self.params["ip1"]))
        loss = functional.cross_entropy(functional.linear(x, *self.params["ip2"]), labels)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


class Batches:
    """Batches of images (N, 1, 28, 28) in [0, 1) and labels, one after the other, again and again."""

    def __init__(self, folder: Path | None, batch: int) -> None:
        self.images, self.labels = _mnist(folder) if folder is not None else _noise()
        self.batch, self.at = batch, 0

    def next(self) -> tuple[Array, Array]:
        """The next batch."""
        start = self.at % (len(self.images) - self.batch + 1)
        self.at = start + self.batch
        return self.images[start : self.at], self.labels[start : self.at]


def _mnist(folder: Path) -> tuple[Array, Array]:
    images, labels = (
        np.frombuffer(gzip.decompress((folder / f"t10k-{name}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for name, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return (images.reshape(-1, 1, 28, 28) / np.float32(256)).astype(np.float32), labels.astype(np.int64)


def _noise() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.random((2000, 1, 28, 28), np.float32), rng.integers(0, 10, 2000)


def our_step(solver: Solver, images: Array, labels: Array) -> float:
    """One iteration of ours; returns the loss."""
    solver.net.blobs["data"].data[...] = images
    solver.net.blobs["label"].data[...] = labels
    solver.step(1)
    return float(solver.net.blobs["loss"].data)


def compare(kind: str, batches: Batches, runs: int, steps: int) -> str:
    """Time ``steps`` iterations at a time; returns a row of the table."""
    solver = lenet_solver(kind, batches.batch)
    other = TorchLeNet(solver, kind)
    images, labels = batches.next()
    tensors = torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())
    losses = our_step(solver, images, labels), other.step(*tensors)
    assert abs(losses[0] - losses[1]) < 1e-4 * losses[1], f"{kind}: different losses {losses}"

    def ours() -> None:
        for _ in range(steps):
            our_step(solver, images, labels)

    def theirs() -> None:
        for _ in range(steps):
            other.step(*tensors)

    pair = interleave(ours, theirs, runs)
    ours_ms, theirs_ms = (1e3 * float(np.median(times)) / steps for times in (pair.ours, pair.theirs))
    return f"| {kind} | {ours_ms:.2f} | {theirs_ms:.2f} | {pair.ratio:.2f} | {pair.best_ratio:.2f} |"


def profile(kind: str, batches: Batches, steps: int = 200) -> list[str]:
    """Milliseconds of an iteration by part: each layer forward and backward, the update, the rest."""
    solver = lenet_solver(kind, batches.batch)
    images, labels = batches.next()
    our_step(solver, images, labels)
    net, spent = solver.net, dict[str, float]()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
            return result

        return call

    for layer in net.layers:
        for way in ("forward", "backward"):
            setattr(layer, way, timed(f"{layer.name} {way}", getattr(layer, way)))
    for name in ("apply_update",):
        setattr(solver, name, timed("update", getattr(solver, name)))
    start = time.perf_counter()
    for _ in range(steps):
        our_step(solver, images, labels)
    whole = time.perf_counter() - start
    spent["the rest"] = whole - sum(spent.values())
    return [f"{name:20} {1e3 * seconds / steps:7.3f} ms" for name, seconds in spent.items()]


def train(kind: str, batches: Batches, iterations: int) -> tuple[float, float]:
    """Train from scratch; returns the mean loss of the first and of the last ten iterations."""
    solver = lenet_solver(kind, batches.batch)
    losses = [our_step(solver, *batches.next()) for _ in range(iterations)]
    return float(np.mean(losses[:10])), float(np.mean(losses[-10:]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--solver", choices=OPTIONS, action="append")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--steps", type=int, default=5, help="iterations timed together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="show where our time goes")
    parser.add_argument("--train", type=int, metavar="N", help="train N iterations from scratch instead of timing")
    options = parser.parse_args()
    device.set_mode_cpu()
    parallel.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    batches = Batches(options.mnist, options.batch)
    if not options.train:
        print("| solver | ours, ms | PyTorch, ms | ratio | best ratio |\n|---|---|---|---|---|")
    for kind in options.solver or OPTIONS:
        if options.train:
            first, last = train(kind, batches, options.train)
            print(f"{kind}: loss {first:.3f} at first, {last:.3f} after {options.train} iterations")
        else:
            print(compare(kind, batches, options.runs, options.steps), flush=True)
        if options.profile:
            print("\n".join(profile(kind, batches)))


if __name__ == "__main__":
    main()
