"""ONNX files: initializers, joined to modules by the operators that read them, in the order in which these run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.errors import WeightsError
from segcaffe.files.limits import AS_STORED, Budget
from segcaffe.files.regular import opened
from segcaffe.snapshot.files import read_file, unreadable
from segcaffe.trust.paths import leads_out
from segcaffe.weights.importing import recurrent
from segcaffe.weights.importing.source import Module, Source, Tensor

_WEIGHT_AND_BIAS = {1: "weight", 2: "bias"}
_ROLES = {
    "BatchNormalization": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "Conv": _WEIGHT_AND_BIAS,
    "ConvTranspose": _WEIGHT_AND_BIAS,
    "Gather": {0: "weight"},
    "Gemm": _WEIGHT_AND_BIAS,
    "InstanceNormalization": _WEIGHT_AND_BIAS,
    "LayerNormalization": _WEIGHT_AND_BIAS,
    "MatMul": {1: "weight"},
    "PRelu": {1: "weight"},
}
_SAME_VALUES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that exporters put between an initializer and the operator that it is for."""
_LEAVES = ("weight", "bias", "running_mean", "running_var", "slope")
_OURS = re.compile(r".+/\d+", re.DOTALL)
"""Names that `segcaffe export` gives to parameters."""
_FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""The numbers of ONNX's types that weights have."""
_EIGHT_BITS = (2, 3)
"""Those of UINT8 and INT8."""


def read_onnx(path: Path) -> Source:
    """Read the initializers of an ONNX file, also those that lie in files beside it."""
    try:
        import onnx
    except ImportError as error:
        raise WeightsError(f"{path}: ONNX files need the package onnx. Install it: pip install onnx.") from error
    data = read_file(path)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise WeightsError(
            f"{path}: the file is no ONNX model, or it is damaged. Copy or download it again."
        ) from error
    reader = _Reader(path, len(data))
    try:
        modules = reader.modules(model.graph)
    except UnicodeDecodeError as error:
        raise WeightsError(
            f"{path}: a name in the ONNX model is no text. The file is damaged; copy it again."
        ) from error
    if not modules:
        raise WeightsError(f"{path}: the file is no ONNX model, or has no initializers that operators read.")
    return Source(tuple(modules), ordered=True, left_out=reader.left_out)


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._budget = Budget(str(path), size, AS_STORED)
        self._tensors: dict[str, Tensor] = {}
        self.left_out: dict[str, str] = {}

    def modules(self, graph: Any) -> list[Module]:
        """The modules of a graph, with those of graphs inside it."""
        for proto in _initializers(graph):
            self._add(proto)
        found: list[Module] = []
        used: set[str] = set()
        made_by: dict[str, Module] = {}
        for node in _nodes(graph):
            if self._passes_on(node):
                continue
            own = {
                i: replace(self._tensors[name], operator=node.op_type)
                for i, name in enumerate(node.input)
                if name in self._tensors and self._tensors[name].name not in used
            }
            used.update(tensor.name for tensor in own.values())
            before = next((made_by[name] for name in node.input if name in made_by), None)
            module = _joined_bias(node, own, before) if own else None
            if own and module is None:
                module = _module(node, own)
                found.append(module)
            if module is not None and node.output:
                made_by[node.output[0]] = module
        read = {tensor.name for module in found for tensor in module.tensors.values()}
        found += [Module(name, {name: tensor}) for name, tensor in self._tensors.items()
                  if name == tensor.name and name not in read and _OURS.fullmatch(name)]  # fmt: skip
        return [module for module in found if module.tensors]

    def _passes_on(self, node: Any) -> bool:
        """Whether an operator only gives a tensor another shape, which then goes by the name of its output."""
        tensor = self._tensors.get(node.input[0]) if node.input else None
        if tensor is None or node.op_type not in _SAME_VALUES:
            return False
        turned = node.op_type == "Transpose" and tensor.values.ndim == 2
        if node.op_type == "Transpose" and not turned:
            return False
        self._tensors[node.output[0]] = replace(tensor, turned=tensor.turned != turned)
        return True

    def _add(self, proto: Any) -> None:
        """Take a tensor, if it holds weights."""
        import onnx.numpy_helper

        if not isinstance(proto.name, str):
            raise WeightsError(
                f"{self._path}: a name in the ONNX model is no text. The file is damaged; copy it again."
            )
        if proto.data_type not in _FLOATS:
            if proto.data_type in _EIGHT_BITS and len(proto.dims) > 1:
                self.left_out[proto.name] = "eight bits, quantized: give the model before it was quantized"
            return
        stored = 8 if proto.data_type == 11 else 4
        shape = [int(extent) for extent in proto.dims]
        if min(shape, default=0) < 0:
            raise WeightsError(f'{self._path}: "{proto.name}" has the shape {shape}. The file is damaged.')
        self._check_external(proto)
        self._budget.take(int(np.prod([float(extent) for extent in shape])) * stored, f'"{proto.name}"')
        try:
            values = np.asarray(onnx.numpy_helper.to_array(proto, str(self._path.parent)))
        except Exception as error:
            raise WeightsError(f'{self._path}: the values of "{proto.name}" do not fit its shape {shape}.') from error
        wide = values.astype(np.float64 if values.dtype == np.float64 else np.float32)
        self._tensors[proto.name] = Tensor(proto.name, wide, _FLOATS[proto.data_type])

    def _check_external(self, proto: Any) -> None:
        """Raise WeightsError unless a tensor's values lie in the file, or in a regular file of the same folder."""
        locations = [entry.value for entry in proto.external_data if entry.key == "location"]
        for location in locations:
            if leads_out(location):
                raise WeightsError(f'{self._path}: "{proto.name}" lies in {location}, outside of the model\'s folder.')
            try:
                with opened(self._path.parent / location) as file:
                    self._budget.size = max(self._budget.size, file.seek(0, 2))
            except OSError as error:
                raise unreadable(self._path.parent / location, error) from error


def _initializers(graph: Any) -> Iterator[Any]:
    """The initializers and constants of a graph, and of those inside it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensor = attribute.t
                tensor.name = node.output[0]
                yield tensor
            if attribute.HasField("g"):
                yield from _initializers(attribute.g)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _joined_bias(node: Any, own: dict[int, Tensor], before: Module | None) -> Module | None:
    """The module of the product before, with what this Add adds to it for its bias; None for other operators."""
    if node.op_type != "Add" or before is None or set(before.tensors) != {"weight"} or len(own) != 1:
        return None
    (tensor,) = own.values()
    weight = before.tensors["weight"]
    if not weight.shape or tensor.values.size != weight.shape[-1 if weight.turned else 0]:
        return None
    before.tensors["bias"] = tensor
    return before


def _module(node: Any, own: dict[int, Tensor]) -> Module:
    """The module of an operator; of one that has no weights those of its tensors that are more than a number."""
    name = _name(node, own)
    if node.op_type == "LSTM":
        return recurrent.of_onnx(name, own) or Module(name)
    roles = _ROLES.get(node.op_type)
    if roles is None:
        named = [tensor for tensor in own.values() if tensor.values.size > 1 or _OURS.fullmatch(tensor.name)]
        return Module(name, {tensor.name: tensor for tensor in named})
    turned = node.op_type == "MatMul" or (node.op_type == "Gemm" and not _attribute(node, "transB"))
    return Module(
        name,
        {
            roles[i]: replace(tensor, turned=tensor.turned != (turned and i == 1))
            for i, tensor in own.items()
            if i in roles
        },
    )


def _attribute(node: Any, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)


def _name(node: Any, own: dict[int, Tensor]) -> str:
    """What the tensors' names have in common, where they end as those of PyTorch and of segcaffe do."""
    for tensor in own.values():
        owner, _, role = tensor.name.replace("/", ".").rpartition(".")
        if owner and (role in _LEAVES or role.isdigit()):
            return tensor.name[: len(owner)]
    return str(node.name or next(iter(own.values())).name)
