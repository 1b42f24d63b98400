"""Several ranks beside one process: what they learn, and whether they stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.parallel import SECONDS_TO_END, kill_once
from tests.parallel.behaviour import CHECKS
from tests.parallel.launching import environment, launch, mpiexec


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_learn_what_one_process_learns_with_iter_size(ranks: int, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    run = launch(ranks, "-m", "tests.parallel.equality", folder=tmp_path)
    assert run.returncode == 0, run.stderr


def test_what_ranks_do_together_besides_learning(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    run = launch(3, "-m", "tests.parallel.behaviour", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [check.__name__ for check in CHECKS]


@pytest.mark.slow
def test_ranks_are_equal_after_each_of_many_steps(tmp_path: Path) -> None:
    run = launch(3, "-m", "benchmarks.parallel", "--worker", "steps", "200", folder=tmp_path)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_a_kill_at_any_moment_ends_all_and_leaves_snapshots_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpiexec()

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    for number, (rank, delay) in enumerate(((0, 3.0), (1, 4.0))):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert kill_once(folder, rank, delay) < SECONDS_TO_END
