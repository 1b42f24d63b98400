"""A net in eager PyTorch, as `segcaffe.export.torch` writes it: what `benchmarks.nets` compares with.

Segmentation-aware layers are written with unfold, broadcasting and a convolution of one pixel; a BatchNorm followed by
a Scale is one batch_norm; ReLUs that work in place do so here; what only the next layer reads is dropped then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from segcaffe.export.torch.module import module_of
from segcaffe.export.torch.writer import write
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2


class TorchNet:
    """The module, inputs and learning rates of a net.

    Attributes
    ----------
    inputs:
        What the module is given, by name.
    module:
        The module, training where the net is in phase TRAIN.
    """

    def __init__(self, net: Net, learning_rate: float = 1e-4) -> None:
        self.net = net
        self.training = net.phase == caffe_pb2.TRAIN
        self._written = write(net)
        # On the default device, as everything else that is made here.
        self.module = module_of(self._written, self.training).to(torch.empty(()).device)
        if not self.training:
            self.module.requires_grad_(False)
        tensors = dict(self.module.named_parameters(remove_duplicate=False))
        self._entries = {e.buffer(): (e, tensors[e.key]) for e in self._written.entries if e.held.values is None}
        self.inputs: dict[str, Tensor] = {}
        self.optimizer = self._optimizer(learning_rate) if self.training else None

    def read_inputs(self) -> None:
        """Take over what our net's inputs and sources hold."""
        self.inputs = {name: torch.tensor(np.array(self.net.blobs[name].data)) for name in self._written.arguments}

    def gradient(self, layer_name: str, index: int) -> np.ndarray[Any, Any] | None:
        """The gradient of a layer's parameter, of the parameter's shape; None where there is none."""
        found = self._entries.get(self.net.params[layer_name][index].buffer("data"))
        if found is None or found[1].grad is None:
            return None
        return found[0].held.give_back(found[0].layer, found[1].grad.cpu().numpy())

    def forward(self) -> dict[str, Tensor]:
        """Run all layers without gradients; returns the outputs by name."""
        with torch.no_grad():
            return self._run()

    def iterate(self) -> float:
        """Forward, backward and update; returns the loss."""
        assert self.optimizer is not None
        loss = self.backward()
        self.optimizer.step()
        return loss

    def both(self, seeds: dict[str, Tensor]) -> None:
        """Forward, and backward from gradients of outputs by name to all inputs and parameters."""
        for tensor in (*self.inputs.values(), *self.module.parameters()):
            tensor.requires_grad_(True)
            tensor.grad = None
        values = self._run()
        torch.autograd.backward([values[name] for name in seeds], list(seeds.values()))

    def backward(self) -> float:
        """Gradients of all parameters, from nothing; returns the loss."""
        self.module.zero_grad()
        values = self._run()
        loss = torch.stack([weight * values[name].sum() for name, weight in self._written.losses.items()]).sum()
        loss.backward()
        return float(loss.detach())

    def _run(self) -> dict[str, Tensor]:
        result = self.module(*self.inputs.values())
        return result if isinstance(result, dict) else {self._written.outputs[0]: result}

    def _optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        net = self.net
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for blob, lr, decay in zip(net.learnable_params, net.params_lr, net.params_weight_decay, strict=True):
            if lr and blob.buffer("data") in self._entries:
                groups.setdefault((lr, decay), []).append(self._entries[blob.buffer("data")][1])
        settings: list[dict[str, Any]] = [
            {"params": tensors, "lr": learning_rate * lr, "weight_decay": 0.0005 * decay}
            for (lr, decay), tensors in groups.items()
        ]
        return torch.optim.SGD(settings, momentum=0.9, fused=True)
