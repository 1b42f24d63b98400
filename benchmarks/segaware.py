"""The segmentation-aware convolution against PyTorch: the same by unfold, and a plain convolution of that shape.

Run: python -m benchmarks.segaware [--size 161] [--channels 64] [--embedding 64] [--runs 7]
PyTorch must be installed. Both sides run in turn: with two threads, timed on the wall, and with one, in processor time,
which other programs on the machine hardly disturb.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.machine import report
from benchmarks.timing import PAUSE, interleave
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

_NET = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: {c} dim: {s} dim: {s} }} }} }}
layer {{ name: "e" type: "Input" top: "e" input_param {{ shape {{ dim: 1 dim: {e} dim: {s} dim: {s} }} }} }}
layer {{ name: "dist" type: "Im2dist" bottom: "e" top: "dist"
  convolution_param {{ kernel_size: 3 pad: 1 }} im2dist_param {{ norm: L1 }} }}
layer {{ name: "lambda" type: "Scale" bottom: "dist" top: "scaled"
  scale_param {{ num_axes: 0 filler {{ type: "constant" value: 0.05 }} }} }}
layer {{ name: "abs" type: "AbsVal" bottom: "scaled" top: "abs" }}
layer {{ name: "exp" type: "Exp" bottom: "abs" top: "mask" exp_param {{ scale: -1 }} }}
layer {{ name: "tile" type: "Tile" bottom: "mask" top: "tile" tile_param {{ tiles: {c} }} }}
layer {{ name: "im2col" type: "Im2col" bottom: "x" top: "col" convolution_param {{ kernel_size: 3 pad: 1 }} }}
layer {{ name: "hit" type: "Eltwise" bottom: "col" bottom: "tile" top: "hit" eltwise_param {{ operation: PROD }} }}
layer {{ name: "conv" type: "Convolution" bottom: "hit" top: "y" convolution_param {{ num_output: {c} kernel_size: 3
  pad: 1 bottom_is_im2col: true weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" value: 0.1 }} }} }}
"""


class Ours:
    """The layers of the recipe as a net, fused as nets are by default."""

    def __init__(self, size: int, channels: int, embedding: int) -> None:
        param = parse(_NET.format(s=size, c=channels, e=embedding), caffe_pb2.NetParameter(), "segaware")
        self.net = Net(param, caffe_pb2.TEST)
        rng = np.random.default_rng(0)
        for name in ("x", "e"):
            self.net.blobs[name].data[...] = rng.standard_normal(self.net.blobs[name].shape)
        self.net.blobs["y"].diff[...] = rng.standard_normal(self.net.blobs["y"].shape)

    def forward(self) -> None:
        """Run all layers."""
        self.net.forward_from_to(0, len(self.net.layers) - 1)

    def both(self) -> None:
        """Run all layers forward and backward."""
        self.forward()
        self.net.clear_param_diffs()
        self.net.backward_from_to(len(self.net.layers) - 1, 0)


class Theirs:
    """The same values in PyTorch."""

    def __init__(self, ours: Ours) -> None:
        blobs, params = ours.net.blobs, ours.net.params
        self.x, self.e, self.grad = (torch.tensor(a) for a in (blobs["x"].data, blobs["e"].data, blobs["y"].diff))
        self.scale = torch.tensor(params["lambda"][0].data)
        self.weight, self.bias = (torch.tensor(blob.data) for blob in params["conv"])
        self.leaves = [self.x, self.e, self.scale, self.weight, self.bias]

    def forward(self) -> torch.Tensor:
        """The layer by unfold, without gradients."""
        with torch.no_grad():
            return self._output()

    def both(self) -> None:
        """The layer by unfold, and the gradients of everything."""
        for leaf in self.leaves:
            leaf.requires_grad_(True)
            leaf.grad = None
        self._output().backward(self.grad)
        for leaf in self.leaves:
            leaf.requires_grad_(False)

    def plain(self) -> torch.Tensor:
        """A convolution of that shape that looks at no embeddings."""
        with torch.no_grad():
            return functional.conv2d(self.x, self.weight, self.bias, padding=1)

    def _output(self) -> torch.Tensor:
        n, c, h, w = self.x.shape
        columns = functional.unfold(self.e, 3, padding=1).view(n, -1, 9, h * w)
        inside = functional.unfold(torch.ones(1, 1, h, w), 3, padding=1).view(1, 9, h * w)
        distance = (columns - self.e.view(n, -1, 1, h * w)).abs().sum(1) * inside
        mask = torch.exp(-(self.scale * distance).abs())
        masked = (functional.unfold(self.x, 3, padding=1).view(n, c, 9, h * w) * mask[:, None]).view(n, c * 9, h * w)
        product: Any = torch.matmul(self.weight.view(self.weight.shape[0], -1), masked)
        return (product + self.bias.view(-1, 1)).view(n, -1, h, w)


def agree(ours: Ours, theirs: Theirs) -> float:
    """Largest difference of the outputs and of all gradients, relative to the largest value of each."""
    ours.both()
    theirs.both()
    net = ours.net
    found = [net.blobs["y"].data, net.blobs["x"].diff, net.blobs["e"].diff]
    found += [net.params["lambda"][0].diff, *(blob.diff for blob in net.params["conv"])]
    wanted = [theirs.forward(), *(leaf.grad for leaf in theirs.leaves)]
    errors = []
    for a, b in zip(found, wanted, strict=True):
        expected = b.numpy() if b is not None else np.zeros(())
        errors.append(float(np.abs(a - expected).max() / np.abs(expected).max()))
    return max(errors)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("size", 161), ("channels", 64), ("embedding", 64), ("runs", 7)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    ours = Ours(options.size, options.channels, options.embedding)
    theirs = Theirs(ours)
    print(report())
    print(f"largest relative difference of values and gradients: {agree(ours, theirs):.1e}\n")
    print("| work | ours ms | PyTorch ms | ours / PyTorch |\n|---|---|---|---|")
    for threads, clock, unit in ((2, time.perf_counter, "on the wall"), (1, time.thread_time, "of the processor")):
        torch.set_num_threads(threads)
        parallel.set_num_threads(threads)
        for name, a, b in (
            ("forward, against unfold", ours.forward, theirs.forward),
            ("forward and backward, against unfold", ours.both, theirs.both),
            ("forward, against plain conv2d", ours.forward, theirs.plain),
        ):
            pair = interleave(a, b, runs=options.runs, warmup=2, pause=PAUSE, clock=clock)
            print(pair.row(f"{name}; {threads} threads, time {unit}"))


if __name__ == "__main__":
    main()
