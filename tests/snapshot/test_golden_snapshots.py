"""Snapshots written by the original: restored, they give the steps that the original took."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from segcaffe.solver.registry import get_solver
from tests.conftest import shared_files
from tests.solver.test_golden_solvers import assert_weights, under

FOLDERS = shared_files("golden/snapshots/*")
FORMATS = {"binaryproto": "", "h5": ".h5"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_steps_after_restoring(folder: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    record = dict(np.load(folder / f"record_{kind}.npz"))
    (tmp_path / "solver.prototxt").write_text(str(record["solver_prototxt"]))
    solver = get_solver("solver.prototxt")
    solver.restore(f"snap_iter_10.solverstate{FORMATS[kind]}")
    assert solver.iter == int(record["iter_after_restore"])
    for key, values in under(record, "weights_restored/").items():
        layer, index = key.rsplit("/", 1)
        np.testing.assert_array_equal(solver.net.params[layer][int(index)].data, values)
    inputs, weights = under(record, "inputs/"), under(record, "weights/")
    for step in range(len(record["lr"])):
        for name, values in inputs.items():
            solver.net.blobs[name].data[...] = values[solver.iter]
        solver.step(1)
        assert solver.lr == pytest.approx(record["lr"][step], rel=1e-6)
        assert float(solver.net.blobs["loss"].data) == pytest.approx(record["loss"][step], rel=1e-4)
        assert_weights(solver, weights, step)
    assert Path(f"snap_iter_20.solverstate{FORMATS[kind]}").exists()
