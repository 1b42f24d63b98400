"""Going on from a snapshot equals not having stopped, bit for bit."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from segcaffe import device
from segcaffe.errors import WeightsError
from segcaffe.solver.solver import Progress, Solver
from tests.solver.nets import OPTIONS, small, small_solver

__all__ = ["small"]
STEPS = 9
TESTED = "test_iter: 2 test_interval: 2 iter_size: 2 snapshot: 1"


def _run(solver: Solver, steps: int) -> list[tuple[Progress, list[float]]]:
    """Losses and rates of the iterations, and what the test nets' last scores were after each."""
    told: list[tuple[Progress, list[float]]] = []
    nets = solver.test_nets
    solver.add_progress(lambda p: told.append((p, [float(net.blobs["loss"].data) for net in nets if p.iter % 2])))
    solver.step(steps)
    return told


def _assert_same(one: Solver, other: Solver) -> None:
    for mine, theirs in zip(one.net.learnable_params, other.net.learnable_params, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
    for mine, theirs in zip(one.history, other.history, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("suffix", ["", ".h5"], ids=["binary", "hdf5"])
@pytest.mark.parametrize("type_name", OPTIONS)
def test_resuming_anywhere_equals_not_stopping(small: Path, type_name: str, suffix: str) -> None:
    extra = TESTED + (" snapshot_format: HDF5" if suffix else "")
    unbroken = small_solver(type_name, extra)
    told = _run(unbroken, STEPS)
    for stop in range(1, STEPS):
        resumed = small_solver(type_name, extra)
        device.set_random_seed(stop + 100)
        resumed.restore(f"snap_iter_{stop}.solverstate{suffix}")
        resumed.param.snapshot = 0
        assert _run(resumed, STEPS - stop) == told[stop:]
        _assert_same(resumed, unbroken)


def test_without_the_side_file_restoring_works_as_in_caffe(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra=TESTED)
    solver.step(4)
    Path("snap_iter_3.solverstate.segcaffe.json").unlink()
    other = small_solver(extra=TESTED)
    with caplog.at_level(logging.INFO, "segcaffe"):
        other.restore("snap_iter_3.solverstate")
    assert other.iter == 3
    assert other.rate.current_step == 1
    assert "Restoring previous solver status from snap_iter_3.solverstate" in caplog.messages
    assert any("data layers begin anew" in line for line in caplog.messages)


SNAPSHOT = "snap_iter_3.caffemodel", "snap_iter_3.solverstate", "snap_iter_3.solverstate.segcaffe.json"


@pytest.mark.parametrize("suffix", ["", ".h5"])
@pytest.mark.parametrize("of_another", [SNAPSHOT[:1], SNAPSHOT[1:2], SNAPSHOT[2:], SNAPSHOT[:2], SNAPSHOT[1:]])
def test_files_of_two_runs_are_refused(small: Path, of_another: tuple[str, ...], suffix: str) -> None:
    extra = TESTED + (" snapshot_format: HDF5" if suffix else "")
    names = [name if name.endswith("json") else name + suffix for name in SNAPSHOT]
    names[2] = names[2].replace(".segcaffe", f"{suffix}.segcaffe")
    kept = []
    for seed in (1, 2):
        solver = small_solver(extra=extra)
        device.set_random_seed(seed)
        solver.step(3)
        kept.append({name: Path(name).read_bytes() for name in names})
    for plain, name in zip(SNAPSHOT, names, strict=True):
        Path(name).write_bytes(kept[plain in of_another][name])
    untouched = small_solver(extra=extra)
    before = [blob.data.copy() for blob in untouched.net.learnable_params]
    with pytest.raises(WeightsError, match="is not of the snapshot that this file was written for"):
        untouched.restore(names[1])
    assert untouched.iter == 0
    assert all(np.array_equal(blob.data, old) for blob, old in zip(untouched.net.learnable_params, before, strict=True))
    for name in names:
        Path(name).write_bytes(kept[1][name])
    untouched.restore(names[1])
    _assert_same(untouched, solver)


def test_side_files_of_older_versions_know_no_weights(small: Path) -> None:
    solver = small_solver(extra=TESTED)
    solver.step(3)
    side = Path(SNAPSHOT[2])
    run = json.loads(side.read_text())
    del run["weights_crc32"]
    side.write_text(json.dumps(run))
    other = small_solver(extra=TESTED)
    other.restore(SNAPSHOT[1])
    _assert_same(other, solver)


def test_of_several_weights_those_of_the_snapshot_are_taken(small: Path) -> None:
    solver = small_solver(extra=TESTED)
    solver.step(3)
    Path("kept").mkdir()
    for name in SNAPSHOT:
        Path("kept", name).write_bytes(Path(name).read_bytes())
    # A later run has written weights where the state says that its own were.
    Path(SNAPSHOT[0]).write_bytes(Path("snap_iter_2.caffemodel").read_bytes())
    other = small_solver(extra=TESTED)
    other.restore(f"kept/{SNAPSHOT[1]}")
    _assert_same(other, solver)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"version": 1})])
def test_a_damaged_side_file_is_named(small: Path, content: str) -> None:
    small_solver(extra=TESTED).step(1)
    Path("snap_iter_1.solverstate.segcaffe.json").write_text(content)
    with pytest.raises(WeightsError, match=r"snap_iter_1\.solverstate\.segcaffe\.json: the file is damaged"):
        small_solver(extra=TESTED).restore("snap_iter_1.solverstate")


@pytest.mark.parametrize("key", ["random", "losses", "sources"])
@pytest.mark.parametrize("value", [None, 1, "text", [None], [[1, 2]], {"a": 1}])
def test_a_side_file_of_other_types_is_named(small: Path, key: str, value: object) -> None:
    small_solver(extra=TESTED).step(1)
    path = Path("snap_iter_1.solverstate.segcaffe.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(WeightsError, match=r"snap_iter_1\.solverstate\.segcaffe\.json: the file is damaged"):
        small_solver(extra=TESTED).restore("snap_iter_1.solverstate")


def test_files_moved_together_find_each_other(small: Path) -> None:
    solver = small_solver(extra=TESTED)
    solver.step(1)
    Path("kept").mkdir()
    for path in list(small.glob("snap_iter_1.*")):
        path.rename(small / "kept" / path.name)
    other = small_solver(extra=TESTED)
    other.restore("kept/snap_iter_1.solverstate")
    _assert_same(other, solver)


def test_missing_weights_are_named(small: Path) -> None:
    small_solver(extra=TESTED).step(1)
    Path("snap_iter_1.caffemodel").unlink()
    with pytest.raises(WeightsError, match=r"snap_iter_1\.solverstate: the weights it belongs to, snap_iter_1\.caffem"):
        small_solver(extra=TESTED).restore("snap_iter_1.solverstate")


def test_state_of_another_type_or_net_is_refused(small: Path) -> None:
    small_solver("SGD", TESTED).step(1)
    with pytest.raises(WeightsError, match=r"holds 5 history blobs; solver Adam on this net has 10"):
        small_solver("Adam", TESTED).restore("snap_iter_1.solverstate")
    text = Path("net.prototxt").read_text()
    Path("net.prototxt").write_text(text.replace("num_output: 5", "num_output: 6").replace("dim: 5", "dim: 6"))
    with pytest.raises(WeightsError, match=r"history blob 0 has shape \(5, 6\), its parameter \(6, 6\)"):
        small_solver("SGD", TESTED).restore("snap_iter_1.solverstate")


@pytest.mark.parametrize("shared", [0, 1])
def test_hdf5_leaves_out_what_another_layer_owns(small: Path, shared: int) -> None:
    params = " ".join('param { name: "s" }' if i == shared else "param {}" for i in range(2))
    ip = 'type: "InnerProduct" inner_product_param { num_output: 6 weight_filler { type: "xavier" } }'
    Path("net.prototxt").write_text(
        f"""
        layer {{ name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {{ shape {{ dim: 2 dim: 6 }} }} }}
        layer {{ name: "ip1" bottom: "x" top: "ip1" {params} {ip} }}
        layer {{ name: "ip2" bottom: "ip1" top: "ip2" {params} {ip} }}
        layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "y" top: "loss" }}
        """
    )
    solver = small_solver(extra="snapshot_format: HDF5")
    for blob in solver.net.learnable_params:
        blob.data[...] = np.random.default_rng(blob.count).standard_normal(blob.shape)
    solver.snapshot()
    other = small_solver(extra="snapshot_format: HDF5")
    other.restore("snap_iter_0.solverstate.h5")
    _assert_same(other, solver)
