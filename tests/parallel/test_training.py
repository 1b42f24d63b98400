"""Several ranks beside one process: what they learn, and whether they stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parallel.behaviour import CHECKS
from tests.parallel.launching import launch


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
