"""Old snapshots are removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.cli.main import main
from segcaffe.snapshot.retention import keep_newest
from tests.solver.nets import small_solver, write_small_net


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_older_snapshots_of_the_prefix_go(tmp_path: Path) -> None:
    kinds = ("caffemodel", "solverstate", "solverstate.segcaffe.json")
    for iteration in (2, 10, 20, 30, 100):
        for kind in kinds:
            (tmp_path / f"run_iter_{iteration}.{kind}").touch()
    others = {"run_iter_2.txt", "run2_iter_2.caffemodel", "run_iter_x.caffemodel", "a_run_iter_2.caffemodel"}
    for name in others:
        (tmp_path / name).touch()
    removed = keep_newest(str(tmp_path / "run"), 30, 2)
    assert _names(tmp_path) == others | {f"run_iter_{i}.{kind}" for i in (20, 30, 100) for kind in kinds}
    assert [path.name for path in removed[:1]] == ["run_iter_2.solverstate"]
    assert len(removed) == 6
    assert keep_newest(str(tmp_path / "run"), 30, 2) == []


@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_training_keeps_the_newest(file_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_net(tmp_path)
    monkeypatch.chdir(tmp_path)
    small_solver(extra=f"snapshot: 2 snapshot_format: {file_format} solver_mode: CPU")
    arguments = ["train", "--solver", "solver.prototxt", "--snapshot_keep"]
    assert main([*arguments, "2"]) == 0
    states = sorted(path.name for path in tmp_path.glob("snap_iter_*.solverstate*") if path.suffix != ".json")
    suffix = ".h5" if file_format == "HDF5" else ""
    assert states == [f"snap_iter_{i}.solverstate{suffix}" for i in (10, 12)]
    assert main([*arguments, "1", "--snapshot", states[0]]) == 0
    assert not list(tmp_path.glob("snap_iter_10*"))


def test_at_least_one_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--solver", "x", "--snapshot_keep", "0"]) == 2
    assert "--snapshot_keep must be at least 1. Received: 0." in capsys.readouterr().err
