"""Event files for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segcaffe.viz.tensorboard import tensorboard
from tests.solver.nets import small, small_solver

__all__ = ["small"]


def test_a_resumed_run_hides_what_was_written_for_later_iterations(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = pytest.importorskip("tensorboardX")
    opened: list[Any] = []

    class Writer(writers.SummaryWriter):  # type: ignore[misc]
        def __init__(self, folder: str, **options: Any) -> None:
            opened.append(options["purge_step"])
            super().__init__(folder, **options)

    monkeypatch.setattr(writers, "SummaryWriter", Writer)
    solver = small_solver()
    with tensorboard(solver, str(tmp_path / "tb")):
        solver.step(3)
    with tensorboard(solver, str(tmp_path / "tb")):
        solver.step(2)
    # The loss of iteration 3 stays, those from 4 on are written anew.
    assert opened == [None, 4]
