"""NCCL's part, on a device made of the host's memory and a stand-in for the communicator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu import host
from tests.parallel.launching import launch


def test_device_arrays_are_averaged_where_they_lie(tmp_path: Path) -> None:
    run = launch(2, "-m", "tests.parallel.on_device", folder=tmp_path, seconds=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_ranks_on_devices_learn_what_they_learn_on_cpus(tmp_path: Path) -> None:
    if not host.available:
        pytest.skip("g++ is not installed: CUDA sources cannot be compiled for the host")
    run = launch(2, "-m", "tests.parallel.on_device", "train", folder=tmp_path)
    assert run.returncode == 0, run.stderr
