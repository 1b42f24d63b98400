"""LSTM layers: PyTorch's and ONNX's parameters as Caffe has them.

Caffe's gates are i, f, o, g in the rows of each matrix, PyTorch's i, f, g, o, ONNX's i, o, f, g. PyTorch and ONNX have
two biases, which are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from segcaffe.weights.importing.source import Array, Module, Tensor

_TORCH, _ONNX = (0, 1, 3, 2), (0, 2, 1, 3)
"""Where Caffe's gates i, f, o, g stand."""
_INPUT, _STATE, _BIASES = "weight_ih_l0", "weight_hh_l0", ("bias_ih_l0", "bias_hh_l0")


def as_caffe(module: Module) -> Module:
    """A module with the roles weight_x, weight_h and bias, where it is an LSTM of one layer in one direction."""
    tensors = module.tensors
    if set(tensors) not in ({_INPUT, _STATE}, {_INPUT, _STATE, *_BIASES}) or len(tensors[_INPUT].shape) != 2:
        return module
    if tensors[_INPUT].shape[0] != 4 * tensors[_STATE].shape[1]:
        return module
    return Module(
        module.name, _made(tensors[_INPUT], tensors[_STATE], [tensors[name] for name in tensors if name in _BIASES])
    )


def of_onnx(name: str, inputs: Mapping[int, Tensor]) -> Module | None:
    """The module of an LSTM node, whose inputs 1, 2 and 3 are W, R and B; None of one in two directions."""
    if not {1, 2} <= set(inputs) or inputs[1].shape[0] != 1:
        return None
    weight, state = (replace(inputs[i], values=_gates(inputs[i].values[0], _ONNX)) for i in (1, 2))
    made = {"weight_x": weight, "weight_h": state}
    if 3 in inputs:
        both = inputs[3].values[0].reshape(2, -1).sum(0)
        made["bias"] = replace(inputs[3], values=_gates(both, _ONNX))
    return Module(name, made)


def _made(weight: Tensor, state: Tensor, biases: list[Tensor]) -> dict[str, Tensor]:
    made = {
        "weight_x": replace(weight, values=_gates(weight.values, _TORCH)),
        "weight_h": replace(state, values=_gates(state.values, _TORCH)),
    }
    if biases:
        values: Array = np.sum([bias.values for bias in biases], axis=0)
        made["bias"] = replace(biases[0], values=_gates(values, _TORCH))
    return made


def _gates(values: Array, order: tuple[int, ...]) -> Array:
    parts = np.split(values, 4)
    return np.concatenate([parts[i] for i in order])
