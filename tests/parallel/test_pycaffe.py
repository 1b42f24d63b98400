"""Scripts for several processes, as pycaffe has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parallel.launching import launch


def test_a_script_brings_its_processes_together(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    run = launch(2, "-m", "tests.parallel.scripts", folder=tmp_path, seconds=60)
    # All went well as far as the error at its end, which ends both.
    assert "script: rank 1 on" in run.stderr, run.stderr
    assert "an error that nobody catches" in run.stderr
    assert run.returncode != 0
