"""Whole nets that were recorded with the original, as modules: outputs, losses and the gradients of all parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

from segcaffe.export.torch import state_of, write
from segcaffe.export.torch.module import module_of
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from tests.conftest import SHARED
from tests.golden import Record
from tests.test_golden_nets import FILES, _filled

TOLERANCE = 1e-5
"""Of the largest value, in float64."""


def in_double(net: Net) -> Net:
    """The same net with the same values in float64."""
    message = net.to_proto()
    for layer in message.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    made = Net(message, phase=net.phase, dtype=np.float64)
    for name in made.inputs:
        made.blobs[name].data[...] = net.blobs[name].data
    return made


def _unnamed_tops(net: Net) -> dict[str, Any]:
    """Losses without a name by their layer's, numbered where several layers have it."""
    found: dict[str, Any] = {}
    for layer, tops in zip(net.layer_names, net.top_blobs, strict=True):
        if "(automatic)" in net.top_names[layer]:
            number = sum(name.startswith(layer) and name[len(layer) :].lstrip("_").isdecimal() for name in found)
            found[layer if layer not in found else f"{layer}_{number + 2}"] = tops[-1]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_net(path: Path) -> None:
    net = in_double(_filled(Record(path)))
    written = write(net)
    module = module_of(written, net.phase == caffe_pb2.TRAIN).double()
    given = [torch.tensor(np.array(net.blobs[name].data), dtype=torch.float64) for name in written.arguments]
    net.clear_param_diffs()
    net.forward()
    result = module(*given)
    found = result if isinstance(result, dict) else {written.outputs[0]: result}
    unnamed = _unnamed_tops(net)
    assert set(unnamed) <= set(found)
    for name, tensor in found.items():
        blob = net.blobs[name] if name in net.blobs else unnamed[name]
        assert_close(tensor.detach().numpy(), blob.data, name)
    terms = [weight * found[name].sum() for name, weight in written.losses.items() if found[name].requires_grad]
    if terms:
        net.backward()
        torch.stack(terms).sum().backward()
        check_gradients(net, written, module)
    assert state_of(written).keys() == module.state_dict().keys()


def check_gradients(net: Net, written: Any, module: Any) -> None:
    tensors = dict(module.named_parameters(remove_duplicate=False))
    largest = max(float(np.abs(blob.diff).max(initial=0)) for blob in net.learnable_params)
    for entry in written.entries:
        tensor = tensors.get(entry.key)
        if entry.held.values is None and tensor is not None and tensor.requires_grad:
            grad = np.zeros(tuple(tensor.shape)) if tensor.grad is None else tensor.grad.numpy()
            own = entry.layer.blobs[entry.held.index].diff
            assert_close(entry.held.give_back(entry.layer, grad), own, entry.key, 1e-6 * largest)


def assert_close(found: Any, wanted: Any, what: str, at_least: float = 1e-12) -> None:
    assert found.shape == wanted.shape, what
    scale = max(float(np.abs(wanted).max(initial=0)), at_least)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=what)
