"""What segcaffe exports of every layer type comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from segcaffe.convert import safetensors
from segcaffe.export.torch import writer
from segcaffe.export.torch.save import state_of
from segcaffe.net.net import Net
from segcaffe.testing import LayerCase
from segcaffe.weights.importing.load import assign, read
from tests.export.onnx.running import model_of, source_of
from tests.export.onnx.test_conformance import REFUSED as REFUSED_BY_ONNX
from tests.export.onnx.test_conformance import cases as cases_of_onnx
from tests.export.torch.running import net_of
from tests.export.torch.test_conformance import REFUSED as REFUSED_BY_TORCH
from tests.export.torch.test_conformance import cases as cases_of_torch

REWRITTEN = {"BatchNorm_eps_behind"}
"""Cases whose variance goes out as another number that gives the same result."""
FOLDED = {"BatchNorm_batch_stats_in_test", "BatchNorm_one_axis"}
"""Cases that ONNX files hold without parameters."""

Write = Callable[[LayerCase, Path], tuple[Net, Path]]


def _onnx(case: LayerCase, folder: Path) -> tuple[Net, Path]:
    source = source_of(case)
    onnx.save(model_of(source, opset=17), folder / "w.onnx")
    return source.net, folder / "w.onnx"


def _torch(case: LayerCase, folder: Path) -> tuple[Net, Path]:
    net = net_of(case)
    (folder / "w.safetensors").write_bytes(safetensors.encode(state_of(writer.write(net)), {}))
    return net, folder / "w.safetensors"


WAYS: dict[str, tuple[Write, dict[str, LayerCase]]] = {
    "onnx": (_onnx, {k: v for k, v in cases_of_onnx().items() if k not in REFUSED_BY_ONNX.keys() | FOLDED}),
    "torch": (_torch, {k: v for k, v in cases_of_torch().items() if k not in REFUSED_BY_TORCH}),
}


def parameters(net: Net) -> dict[str, Any]:
    """All parameters; of a BatchNorm the averages that its sums and their factor give."""
    found = {}
    for layer in net.layer_list:
        for index, blob in enumerate(layer.blobs):
            found[f"{layer.name}/{index}"] = blob.data.copy()
        if layer.type == "BatchNorm":
            factor = found[f"{layer.name}/2"]
            for index in (0, 1):
                found[f"{layer.name}/{index}"] = found[f"{layer.name}/{index}"] / (factor or 1)
            found[f"{layer.name}/2"] = np.ones_like(factor)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_layer_comes_back(way: str, tmp_path: Path) -> None:
    write, cases = WAYS[way]
    compared = 0
    for name in sorted(cases.keys() - REWRITTEN):
        net, file = write(cases[name], tmp_path)
        before = parameters(net)
        if not before:
            continue
        for layer in net.layer_list:
            for blob in layer.blobs:
                blob.data[...] = -7
        assign(net.graph, net.layer_list, read(file, {}), {}, partial=False)
        for key, values in parameters(net).items():
            if "BatchNorm" in name:
                assert np.allclose(values, before[key], rtol=1e-6, atol=0), f"{name} {key}"
            else:
                assert values.tobytes() == before[key].tobytes(), f"{name} {key}"
        compared += 1
    assert compared > 80
