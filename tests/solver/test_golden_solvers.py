"""Recorded trajectories of the original: weights, rate and loss at each of 25 steps."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from tests.conftest import shared_files
from tests.golden import Array, set_params

TOLERANCE = 3e-6
PATHS = shared_files("golden/solvers/*.npz")


def under(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def write_files(arrays: dict[str, Array], folder: Path) -> None:
    (folder / "solver.prototxt").write_text(str(arrays["solver_prototxt"]))
    (folder / "net.prototxt").write_text(str(arrays["net_prototxt"]))
    for name, content in under(arrays, "file/").items():
        (folder / name).write_bytes(content.tobytes())


def assert_weights(solver: Solver, expected: dict[str, Array], step: int, tolerance: float = TOLERANCE) -> None:
    for key, values in expected.items():
        layer, index = key.rsplit("/", 1)
        found = solver.net.params[layer][int(index)].data
        scale = float(np.abs(values[step]).max()) or 1.0
        error = float(np.abs(found - values[step]).max())
        assert error <= tolerance * scale, f"{key} after step {step}: differs by {error:.3g}, largest {scale:.3g}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_trajectory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = dict(np.load(path))
    monkeypatch.chdir(tmp_path)
    write_files(arrays, tmp_path)
    solver = get_solver("solver.prototxt")
    assert solver.type == str(arrays["type"])
    set_params(solver.net, under(arrays, "init/").items())
    inputs = under(arrays, "inputs/")
    weights = under(arrays, "weights/")
    for step in range(len(arrays["lr"])):
        for name, values in inputs.items():
            solver.net.blobs[name].data[...] = values[step]
        caplog.clear()
        with caplog.at_level(logging.INFO, "segcaffe"):
            solver.step(1)
        assert solver.lr == pytest.approx(arrays["lr"][step], rel=1e-6)
        assert float(solver.net.blobs["loss"].data) == pytest.approx(arrays["loss"][step], rel=1e-4)
        shown = re.search(r"^Iteration \d+ \(.*\), loss = (\S+)$", "\n".join(caplog.messages), re.MULTILINE)
        assert shown is not None
        assert float(shown[1]) == pytest.approx(arrays["loss_mean"][step], rel=1e-4)
        assert_weights(solver, weights, step)
