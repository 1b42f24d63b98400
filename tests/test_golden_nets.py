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
from segcaffe.proto.caffe_pb2 import PoolingParameter
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


Choice = tuple[int, tuple[int, ...]]
"""(index of a ReLU or Pooling layer, flat index of an undecided ReLU input, or of both candidates for a maximum)"""
ROUNDING = 2e-6
"""Sums of float32 products this close to zero or to each other, relative to their largest, may come in any order."""
MAX_CHOICES = 12


ACCUMULATING = ("BatchNorm", "AdaptiveBiasChannel")
"""Layers whose forward pass changes their parameters."""


def _filled(record: Record, fuse: bool = True) -> Net:
    """The recorded net with its weights and inputs."""
    net = record.net(fuse)
    set_params(net, record.weights())
    _set_inputs(record, net)
    return net


def _set_inputs(record: Record, net: Net) -> None:
    for name, values in record.under("input").items():
        net.blobs[name].data[...] = values.reshape(net.blobs[name].shape)


def _choices(record: Record) -> list[Choice]:
    """What is a matter of rounding: signs of ReLU inputs and maxima of windows, in the net layer by layer."""
    net = _filled(record, fuse=False)
    undecided: list[tuple[float, Choice]] = []

    def look(i: int) -> None:
        layer, option = net.layers[i], net.layers[i].param.pooling_param
        values = net.bottom_blobs[i][0].data if net.bottom_blobs[i] else np.zeros(0)
        largest = max(float(np.abs(values).max(initial=0)), 1e-30)
        if layer.type == "ReLU":
            size = np.abs(values.reshape(-1)) / largest
            undecided.extend((float(size[k]), (i, (int(k),))) for k in np.flatnonzero((size < ROUNDING) & (size > 0)))
        elif layer.type == "Pooling" and option.pool == PoolingParameter.MAX and not option.global_pooling:
            undecided.extend((gap, (i, pair)) for gap, pair in _close_pairs(values / largest, option))

    net._before_forward.append(look)
    net.forward()
    return [choice for _, choice in sorted(set(undecided))[:MAX_CHOICES]]


def _close_pairs(values: Array, option: PoolingParameter) -> list[tuple[float, tuple[int, int]]]:
    """The two largest values of each window where they nearly agree: their difference and flat indices."""
    pad, kernel, stride = option.pad, option.kernel_size, option.stride
    margins = ((0, 0), (0, 0), (pad, pad + kernel), (pad, pad + kernel))
    places = np.pad(np.arange(values.size).reshape(values.shape), margins, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(places, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    taken = windows.reshape(-1, kernel * kernel)
    found = np.where(taken >= 0, values.reshape(-1)[taken], -np.inf)
    second, first = np.argsort(found, axis=1)[:, -2:].T
    rows = np.arange(len(found))
    with np.errstate(invalid="ignore"):
        gap = found[rows, first] - found[rows, second]
    close = np.flatnonzero((gap < ROUNDING) & (gap > 0))
    return [(float(gap[k]), (int(taken[k, first[k]]), int(taken[k, second[k]]))) for k in close]


def _decide_otherwise(values: Array, places: tuple[int, ...]) -> None:
    """Change a value's sign, or which of two is larger."""
    if len(places) == 1:
        values[places[0]] *= -1
        return
    # Of equal values the first is the maximum.
    smaller, larger = sorted(places, key=lambda place: (values[place], -place))
    values[smaller] = np.nextafter(values[larger], np.float32(np.inf))


def _run(record: Record, net: Net, choice: Choice | None = None) -> None:
    """Run a filled net forward and backward, once more perhaps; ``choice`` names what is to be decided otherwise."""
    _set_inputs(record, net)
    set_params(net, record.weights({layer.name for layer in net.layer_list if layer.type in ACCUMULATING}))

    def decide(i: int) -> None:
        if choice is not None and choice[0] == i:
            _decide_otherwise(net.bottom_blobs[i][0].data.reshape(-1), choice[1])

    net._before_forward[:] = [] if choice is None else [decide]
    net.forward()
    if not record.under("loss"):
        for name in net.outputs:
            rng = np.random.RandomState(zlib.crc32(f"top_diff/{name}".encode()))
            net.blobs[name].diff[...] = rng.randn(*net.blobs[name].shape)
    net.clear_param_diffs()
    net.backward()


def _check_losses(record: Record, net: Net) -> None:
    """Each loss by its layer's name; layers named alike in their order."""
    seen: Counter[str] = Counter()
    recorded = record.under("loss")
    for key in sorted(recorded, key=lambda key: int(key.split(":", 1)[0])):
        name = key.split(":", 1)[1]
        index = [i for i, layer in enumerate(net.layer_names) if layer == name][seen[name]]
        seen[name] += 1
        assert_close(f"loss of {key}", net.top_blobs[index][0].data, np.asarray(recorded[key]), TOLERANCE)


def _check_forward(record: Record, net: Net) -> None:
    _check_losses(record, net)
    if "total_loss" in record.arrays:
        assert net.loss == pytest.approx(float(record.arrays["total_loss"]), rel=TOLERANCE, abs=1e-6)
    for name in _names(record, "data"):
        _check(record, "data", name, net.blobs[name].data)


def _check_backward(record: Record, net: Net) -> None:
    wanted = _blobs_with_gradients(net)
    for name in _names(record, "diff"):
        if name in wanted:
            _check(record, "diff", name, net.blobs[name].diff)
    for key in _names(record, "grad_param"):
        layer, index = split_key(key)
        _check(record, "grad_param", key, net.params[layer][index].diff)


def _blobs_with_gradients(net: Net) -> set[str]:
    """Blobs whose gradient somebody asked for; in others the original leaves what its layers worked with."""
    names = set(net.outputs)
    for i, node in enumerate(net.graph.nodes):
        names.update(
            net.graph.blob_names[blob]
            for blob, wanted in zip(node.bottoms, net.bottom_needs_backward[i], strict=True)
            if wanted
        )
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("frees_nets")
@pytest.mark.skipif(not FILES, reason=f"no recorded nets at {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_net(path: Path) -> None:
    """All recorded values agree; for gradients, with one of the choices that float32 leaves open.

    Where an input of a ReLU is zero but for rounding, its gradient passes in one implementation and not in another;
    where the two largest values of a window are equal but for rounding, it goes to the one or the other. Everything
    below differs by percents. So if gradients do not agree at first, they must after one such choice is made
    otherwise; nothing else is allowed, and the tolerance is the same.
    """
    record = Record(path)
    net = _filled(record)
    _run(record, net)
    _check_forward(record, net)
    if not _names(record, "diff") and not _names(record, "grad_param"):
        return
    fault = _fault(record, net)
    if not fault:
        return
    del net  # There is one net in memory at a time.
    choices, net = _choices(record), _filled(record)
    for choice in choices:
        _run(record, net, choice)
        _check_forward(record, net)
        if not _fault(record, net):
            return
    pytest.fail(f"{fault}; nor with any of {len(choices)} signs and maxima decided otherwise")


def _fault(record: Record, net: Net) -> str:
    """Which gradient does not agree, empty if all do."""
    try:
        _check_backward(record, net)
    except AssertionError as error:
        return str(error)
    return ""
