"""Several ranks beside one process: what they learn, and whether they stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parallel.launching import launch


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_learn_what_one_process_learns_with_iter_size(ranks: int, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    run = launch(ranks, "-m", "tests.parallel.equality", folder=tmp_path)
    assert run.returncode == 0, run.stderr
