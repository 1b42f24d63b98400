"""One training step of the embeddings network, ours and PyTorch's, on the same data and weights, in turn.

Run: python -m benchmarks.train_embs [--crop 161] [--batch 4] [--runs 7]
PyTorch must be installed; both sides use the same number of threads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import interleave
from segcaffe import device
from segcaffe.data.synthetic import write_set
from segcaffe.proto import caffe_pb2
from segcaffe.recipes import embs
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from segcaffe.threads import parallel


class TorchStep:
    """The same network, loss and Adam step written as one would in PyTorch."""

    def __init__(self, solver: Solver, learning_rate: float) -> None:
        self.params = {
            name: [torch.tensor(np.array(blob.data), requires_grad=True) for blob in blobs]
            for name, blobs in solver.net.params.items()
        }
        groups = [
            {"params": [blobs[i] for blobs in self.params.values()], "lr": learning_rate * (i + 1)} for i in range(2)
        ]
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8)

    def step(self, data: torch.Tensor, label: torch.Tensor) -> float:
        """Forward, backward and update; returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(data, label)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def loss(self, data: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Sum of the three distance losses."""
        size = data.shape[2:]
        conv1_1 = self._conv("conv1_1", data)
        conv1_2 = self._conv("conv1_2", conv1_1)
        conv2_1 = self._conv("conv2_1", functional.max_pool2d(conv1_2, 3, 2, 1))
        conv2_2 = self._conv("conv2_2", conv2_1)
        conv3_1 = self._conv("conv3_1", functional.max_pool2d(conv2_2, 3, 2, 1))
        resized = [
            functional.interpolate(x, size, mode="bilinear", align_corners=True) for x in (conv2_1, conv2_2, conv3_1)
        ]
        fused = torch.cat([data * 0.0039215, conv1_1, conv1_2, *resized], 1)
        weight, bias = self.params["weighted_avg"]
        embedding = functional.conv2d(fused, weight, bias)
        return sum((self._distance_loss(embedding, label, d) for d in embs.DILATIONS), torch.zeros(()))

    def _conv(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.params[name]
        return functional.relu(functional.conv2d(x, weight, bias, padding=1))

    @staticmethod
    def _distance_loss(embedding: torch.Tensor, label: torch.Tensor, dilation: int) -> torch.Tensor:
        n, e, h, w = embedding.shape
        columns = functional.unfold(embedding, 3, dilation=dilation, padding=dilation).view(n, e, 9, h, w)
        inside = functional.unfold(torch.ones_like(embedding[:, :1]), 3, dilation=dilation, padding=dilation)
        distance = (columns - embedding[:, :, None]).abs().sum(1) * inside.view(n, 9, h, w)
        labels = functional.unfold(label, 3, dilation=dilation, padding=dilation).view(n, 9, h, w)
        same = labels == label
        ignored = (labels == 255) | (label == 255)
        hinge = torch.where(same, (distance - 0.5).clamp(min=0), (2 - distance).clamp(min=0))
        hinge = hinge.masked_fill(ignored, 0)
        # The released gradient is that of half the mean squared hinge; the value reported is the mean hinge.
        return 0.5 * (hinge * hinge).mean()


def make_solver(folder: Path, batch: int, crop: int, learning_rate: float) -> Solver:
    """A solver on generated images of the size of the crop or more."""
    data = write_set(folder, train=8, test=1, size=max(crop + 8, 64))
    net = folder / "train.prototxt"
    net.write_text(embs.train(embs.Images(str(data.train_list), f"{folder}/", batch, crop)))
    param = caffe_pb2.SolverParameter(
        train_net=str(net), type="Adam", base_lr=learning_rate, lr_policy="fixed", momentum=0.9, max_iter=10**6,
        random_seed=1, snapshot_prefix=str(folder / "snap"), solver_mode=caffe_pb2.SolverParameter.CPU,
    )  # fmt: skip
    return get_solver(param)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crop", type=int, default=161)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(parallel.num_threads())
    device.set_mode_cpu()
    with tempfile.TemporaryDirectory() as folder:
        solver = make_solver(Path(folder), options.batch, options.crop, 1e-3)
        peer = TorchStep(solver, 1e-3)
        solver.step(1)
        batch: dict[str, Any] = {
            name: torch.from_numpy(solver.net.blobs[name].data.copy()) for name in ("data", "label")
        }
        pair = interleave(
            lambda: solver.step(1), lambda: peer.step(batch["data"], batch["label"]), options.runs, pause=0.2
        )
    print(f"crop {options.crop}, batch {options.batch}, {parallel.num_threads()} threads, medians of {options.runs}")
    print("| work | ours, ms | PyTorch, ms | ratio |\n|---|---|---|---|")
    print(pair.row("embeddings training step"))


if __name__ == "__main__":
    main()
