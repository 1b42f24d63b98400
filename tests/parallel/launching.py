"""Programs of this folder, started by mpiexec."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BESIDE_PYTHON = Path(sys.executable).parent / "mpiexec"
SECONDS = 120
"""After which a run that has not ended hangs."""


def mpiexec() -> str:
    """The launcher: that of the mpich wheel lies beside the interpreter."""
    pytest.importorskip("mpi4py")
    found = str(BESIDE_PYTHON) if BESIDE_PYTHON.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec: pip install mpich")
    return found


def environment() -> dict[str, str]:
    """One thread a rank, and no bar nor colour."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "SEGCAFFE_NUM_THREADS": "1"}


def launch(ranks: int, *command: str, folder: Path, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a command of Python as so many ranks in a folder; AssertionError where it does not end in time."""
    line = [mpiexec(), "-n", str(ranks), sys.executable, *command]
    return subprocess.run(
        line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
    )
