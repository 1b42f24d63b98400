"""Every recorded whole net of the original, forward and backward."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.net.net import Net
from tests.conftest import SHARED, shared_files
from tests.golden import Array, Record, assert_close, set_params, split_key

FILES = shared_files("golden/nets/*.npz")
TOLERANCE = 2e-3


def _check(record: Record, kind: str, name: str, found: Array) -> None:
    """Compare with the whole recorded array, or with its norm and sampled values."""
    full = record.arrays.get(f"{kind}/{name}")
    if full is not None:
        assert_close(f"{kind} {name}", found, full, TOLERANCE)
        return
    summary: dict[str, Any] = record.under(f"{kind}_sum/{name}")
    norm = float(np.linalg.norm(found.astype(np.float64)))
    assert norm == pytest.approx(float(summary["norm"]), rel=TOLERANCE), f"norm of {kind} {name}"
    largest = max(float(np.abs(found).max()), 1e-30)
    error = np.abs(found.reshape(-1)[summary["index"]] - summary["values"]).max()
    assert error <= TOLERANCE * largest, f"{kind} {name}: sampled values differ by {error:.3g} of {largest:.3g}"


def _names(record: Record, kind: str) -> list[str]:
    full = set(record.under(kind))
    sums = {key.rsplit("/", 1)[0] for key in record.under(f"{kind}_sum")}
    noise = set(json.loads(str(record.arrays["noise_only"]))) if "noise_only" in record.arrays else set()
    return sorted(name for name in full | sums if name not in noise and f"{kind}/{name}" not in noise)


def _run(record: Record) -> Net:
    net = record.net()
    for name, values in record.under("input").items():
        net.blobs[name].data[...] = values.reshape(net.blobs[name].shape)
    set_params(net, record.weights())
    net.forward()
    return net


def _check_losses(record: Record, net: Net) -> None:
    """Each loss by its layer's name; layers named alike in their order."""
    seen: Counter[str] = Counter()
    recorded = record.under("loss")
    for key in sorted(recorded, key=lambda key: int(key.split(":", 1)[0])):
        name = key.split(":", 1)[1]
        index = [i for i, layer in enumerate(net.layer_names) if layer == name][seen[name]]
        seen[name] += 1
        assert_close(f"loss of {key}", net.top_blobs[index][0].data, np.asarray(recorded[key]), TOLERANCE)


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_net(path: Path) -> None:
    record = Record(path)
    net = _run(record)
    _check_losses(record, net)
    if "total_loss" in record.arrays:
        assert net.loss == pytest.approx(float(record.arrays["total_loss"]), rel=TOLERANCE, abs=1e-6)
    for name in _names(record, "data"):
        _check(record, "data", name, net.blobs[name].data)
    diffs, params = _names(record, "diff"), _names(record, "grad_param")
    if not diffs and not params:
        return
    if not record.under("loss"):
        for name in net.outputs:
            rng = np.random.RandomState(zlib.crc32(f"top_diff/{name}".encode()))
            net.blobs[name].diff[...] = rng.randn(*net.blobs[name].shape)
    net.clear_param_diffs()
    net.backward()
    for name in diffs:
        _check(record, "diff", name, net.blobs[name].diff)
    for key in params:
        layer, index = split_key(key)
        _check(record, "grad_param", key, net.params[layer][index].diff)
