"""Training a small segmentation-aware net on generated scenes: a loop in PyTorch over `SegAwareConv2d`, and our solver.

``python -m benchmarks.training_loop [--size 96] [--batch 4] [--runs 15] [--keep] [--profile] [--write]``. The same net,
weights, images, losses and rule (SGD with momentum); one thread, processor time, by turns in one process. With
``--keep`` glibc keeps memory that PyTorch gives back after each iteration (`segcaffe.torch.keep_memory`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.page import write_rows
from benchmarks.timing import PAUSE, Pair, interleave
from segcaffe.data.synthetic import make_scene
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes.layers import layer
from segcaffe.recipes.layers import net as net_text
from segcaffe.solver.registry import get_solver
from segcaffe.threads import parallel
from segcaffe.torch import SegAwareConv2d, keep_memory

CHANNELS, EMBEDDING, CLASSES = 32, 16, 2
RATE, MOMENTUM, LAMBDA = 0.01, 0.9, 0.1
_WINDOW = "convolution_param { kernel_size: 3 pad: 1 }"


def _conv(name: str, bottom: str, outputs: int, kernel: int, extra: str = "") -> str:
    filler = 'weight_filler { type: "msra" } bias_filler { type: "constant" }'
    sizes = f"num_output: {outputs} kernel_size: {kernel} pad: {kernel // 2} {extra} {filler}"
    return layer("Convolution", name, [bottom], body=f"convolution_param {{ {sizes} }}")


def _masked(name: str, bottom: str, channels: int) -> list[str]:
    """The paper's recipe around a convolution, with distances of its own, as a module in PyTorch has."""
    scale = f'scale_param {{ num_axes: 0 filler {{ type: "constant" value: {LAMBDA} }} }}'
    return [
        layer("Im2dist", f"{name}_dist", ["embed"], body=f"{_WINDOW} im2dist_param {{ norm: L1 }}"),
        layer("Scale", f"{name}_lambda", [f"{name}_dist"], body=scale),
        layer("Exp", f"{name}_mask", [f"{name}_lambda"], body="exp_param { scale: -1 }"),
        layer("Tile", f"{name}_tile", [f"{name}_mask"], body=f"tile_param {{ axis: 1 tiles: {channels} }}"),
        layer("Im2col", f"{name}_col", [bottom], body=_WINDOW),
        layer("Eltwise", f"{name}_hit", [f"{name}_col", f"{name}_tile"], body="eltwise_param { operation: PROD }"),
        _conv(name, f"{name}_hit", CHANNELS, 3, "bottom_is_im2col: true"),
        layer("ReLU", f"{name}_relu", [name], [name]),
    ]


def net(batch: int, size: int) -> caffe_pb2.NetParameter:
    """Embeddings, two masked convolutions, scores and their loss."""
    shapes = " ".join(f"shape {{ dim: {batch} dim: {c} dim: {size} dim: {size} }}" for c in (3, 1))
    layers = [
        layer("Input", "inputs", tops=["image", "label"], body=f"input_param {{ {shapes} }}"),
        _conv("embed", "image", EMBEDDING, 3),
        *_masked("conv1", "image", 3),
        *_masked("conv2", "conv1", CHANNELS),
        _conv("score", "conv2", CLASSES, 1),
        layer("SoftmaxWithLoss", "loss", ["score", "label"]),
    ]
    return parse(net_text("loop", layers), caffe_pb2.NetParameter())


class Model(nn.Module):
    """The net in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, EMBEDDING, 3, padding=1)
        self.conv1 = SegAwareConv2d(3, CHANNELS, 3, padding=1, scale=LAMBDA)
        self.conv2 = SegAwareConv2d(CHANNELS, CHANNELS, 3, padding=1, scale=LAMBDA)
        self.score = nn.Conv2d(CHANNELS, CLASSES, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores (N, classes, H, W) of images (N, 3, H, W)."""
        embeddings = self.embed(image)
        hidden = torch.relu(self.conv1(image, embeddings))
        return self.score(torch.relu(self.conv2(hidden, embeddings)))


class Ours:
    """The solver."""

    def __init__(self, batch: int, size: int) -> None:
        rule = f'type: "SGD" base_lr: {RATE} momentum: {MOMENTUM} weight_decay: 0 lr_policy: "fixed"'
        param = parse(rule, caffe_pb2.SolverParameter())
        param.net_param.CopyFrom(net(batch, size))
        param.snapshot_prefix = str(Path(tempfile.gettempdir()) / "loop")
        self.solver = get_solver(param, net_options={"share_memory": True})
        rng = np.random.default_rng(0)
        for n in range(batch):
            image, label = make_scene(rng, size)
            self.solver.net.blobs["image"].data[n] = image.transpose(2, 0, 1) / 64 - 2
            self.solver.net.blobs["label"].data[n, 0] = label > 0

    def step(self) -> None:
        """One iteration."""
        self.solver.step(1)

    def loss(self) -> float:
        """Of the weights as they are."""
        return float(self.solver.net.forward()["loss"])


class Theirs:
    """The loop in PyTorch, from the same weights and images."""

    def __init__(self, ours: Ours) -> None:
        self.model, given = Model(), ours.solver.net.blobs
        with torch.no_grad():
            for name, blobs in _convolutions(ours).items():
                conv = getattr(self.model, name)
                for tensor, blob in zip((conv.weight, conv.bias), blobs, strict=True):
                    tensor.copy_(torch.tensor(blob.data).view_as(tensor))
        self.image = torch.tensor(given["image"].data)
        self.label = torch.tensor(given["label"].data[:, 0]).long()
        self.optimizer = torch.optim.SGD(self.model.parameters(), RATE, MOMENTUM, fused=True)

    def step(self) -> None:
        """One iteration."""
        self.optimizer.zero_grad()
        self._loss().backward()
        self.optimizer.step()

    def loss(self) -> float:
        """Of the weights as they are."""
        return float(self._loss().detach())

    def _loss(self) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(self.image), self.label)


def _convolutions(ours: Ours) -> dict[str, Any]:
    return {name: blobs for name, blobs in ours.solver.net.params.items() if len(blobs) == 2}


def measure(ours: Ours, theirs: Theirs, runs: int) -> Pair:
    """Iterations in turn."""
    return interleave(ours.step, theirs.step, runs, 3, pause=PAUSE, clock=time.process_time)


def main() -> None:
    """Print, or write, the row; or where PyTorch's time goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("size", 96), ("batch", 4), ("runs", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--profile", action="store_true", help="PyTorch's operators by time, and our layers")
    parser.add_argument("--write", action="store_true", help="put the row into docs/performance-functional.md")
    parser.add_argument("--keep", action="store_true", help="have glibc keep memory: segcaffe.torch.keep_memory()")
    options = parser.parse_args()
    if options.keep and not keep_memory():
        parser.error("--keep needs glibc, which is not the C library here")
    torch.set_num_threads(1)
    parallel.set_num_threads(1)
    ours = Ours(options.batch, options.size)
    theirs = Theirs(ours)
    for one in (ours, theirs):
        for _ in range(3):
            one.step()
    losses = ours.loss(), theirs.loss()
    print(f"losses after three iterations: {losses[0]:.6f}, {losses[1]:.6f}")
    if options.profile:
        _profile(theirs)
        return
    pair = measure(ours, theirs, options.runs)
    times = [f"{1e3 * median(seconds):.1f}" for seconds in (pair.ours, pair.theirs)]
    kept = ", `keep_memory()`" if options.keep else ""
    size = f"{options.batch} scenes, {options.size}x{options.size}{kept}"
    row = f"| {size} | {times[0]} | {times[1]} | {1 / pair.ratio:.2f} | {abs(losses[0] - losses[1]):.0e} |"
    print(row)
    if options.write:
        write_rows("performance-functional", "training", [row])


def _profile(theirs: Theirs) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(5):
            theirs.step()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


if __name__ == "__main__":
    main()
