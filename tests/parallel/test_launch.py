"""Whether a process was started as one of several, and what it says where it cannot join the others."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from segcaffe.errors import DeviceError
from segcaffe.parallel import Alone, group, use
from segcaffe.parallel.launch import join, launched


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ({}, 1),
        ({"PMI_SIZE": "4", "PMI_RANK": "1"}, 4),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, 2),
        ({"MV2_COMM_WORLD_SIZE": "8"}, 8),
        ({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3"}, 3),
        ({"SLURM_NTASKS": "3", "SLURM_PROCID": "0"}, 1),
        ({"PMI_SIZE": "many"}, 1),
    ],
)
def test_the_launchers_environment_tells_how_many_there_are(environment: dict[str, str], size: int) -> None:
    assert launched(environment) == size


def test_without_mpi4py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(DeviceError, match=r"pip install 'segcaffe\[mpi\]'"):
        join(True)


def test_who_is_alone_averages_and_gathers_by_itself() -> None:
    alone, values = Alone(), np.arange(3.0)
    alone.average_(values)
    alone.broadcast_(values)
    assert values.tolist() == [0, 1, 2]
    assert alone.gather("a") == ["a"]
    assert alone.is_first
    assert not alone.joint


def test_a_group_is_in_use_as_long_as_it_is_asked_for() -> None:
    before = group()
    with use(Alone(1, 2)) as other:
        assert group() is other
        assert not other.joint
    assert group() is before
