"""Modules made of layer cases, beside the layers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segcaffe.export.torch.module import module_of
from segcaffe.export.torch.writer import Written, write
from segcaffe.layers.base import Layer
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.testing import LayerCase

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-5
"""Of the largest value."""


def net_of(case: LayerCase) -> Net:
    """The net of one layer, in float64, with the case's inputs and parameters."""
    param = caffe_pb2.NetParameter(name=case.id)
    values = case.inputs(np.float64)
    for i, array in enumerate(values):
        layer = param.layer.add(name=f"in{i}", type="Input", top=[f"bottom{i}"])
        layer.input_param.shape.add().dim.extend(array.shape)
    param.layer.add().CopyFrom(case.layer_param())
    net = Net(param, phase=caffe_pb2.Phase.Value(case.phase), fuse=False, dtype=np.float64)
    made = case.build(np.float64)[0]
    for blob, given in zip(net.layer_dict["layer"].blobs if made.blobs else [], made.blobs, strict=True):
        blob.data[...] = given.data
    return net


@dataclass
class Ours:
    """A case's layer after its passes."""

    layer: Layer
    wanted: list[bool]
    bottoms: list[Any]
    tops: list[Any]

    @classmethod
    def of(cls, case: LayerCase) -> Ours:
        """Run the layer forward."""
        layer, bottom, top = case.build(np.float64)
        layer.param_propagate_down = [True] * len(layer.blobs)
        layer.forward(bottom, top)
        return cls(layer, [layer.allows_gradient(i) for i in range(len(bottom))], bottom, top)

    def backward(self, seeds: list[Array]) -> None:
        """Run it backward from these gradients of the tops."""
        for blob, seed in zip(self.tops, seeds, strict=True):
            blob.diff[...] = seed
        for blob in self.layer.blobs:
            blob.diff[...] = 0
        self.layer.backward(self.tops, self.wanted, self.bottoms)


@dataclass
class Theirs:
    """A case's module after its passes."""

    written: Written
    module: Any
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]

    @classmethod
    def of(cls, case: LayerCase) -> Theirs:
        """Write the net, make the module, run it forward."""
        written = write(net_of(case))
        module = module_of(written, training=case.phase == "TRAIN")
        inputs = [torch.tensor(values, requires_grad=True) for values in case.inputs(np.float64)]
        given = {f"bottom{i}": tensor for i, tensor in enumerate(inputs)}
        result = module(*(given[name] for name in written.arguments))
        by_name = result if isinstance(result, dict) else {written.outputs[0]: result}
        return cls(written, module, inputs, [by_name[f"top{i}"] for i in range(case.tops)])

    def backward(self, seeds: list[Array]) -> None:
        """Run autograd from these gradients of the outputs."""
        for parameter in self.module.parameters():
            parameter.requires_grad_(True)
        terms = [
            (out * torch.from_numpy(seed)).sum()
            for out, seed in zip(self.outputs, seeds, strict=True)
            if out.requires_grad
        ]
        if terms:
            torch.stack(terms).sum().backward()

    def parameter_grads(self) -> dict[int, Array]:
        """By index of the layer's parameters what autograd gives for them."""
        tensors = dict(self.module.named_parameters())
        found = {}
        for entry in self.written.entries:
            if entry.held.values is None:
                grad = tensors[entry.key].grad
                values = np.zeros(tuple(tensors[entry.key].shape)) if grad is None else grad.numpy()
                found[entry.held.index] = entry.held.give_back(entry.layer, values)
        return found


def assert_close(found: Array, wanted: Array, what: str) -> None:
    """To `TOLERANCE` of the largest value."""
    assert found.shape == wanted.shape, what
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-7)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=what)
