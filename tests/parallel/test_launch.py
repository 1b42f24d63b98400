"""Whether a process was started as one of several, and what it says where it cannot join the others."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segcaffe.cli.common import _gpu_number
from segcaffe.data.files import BadItems
from segcaffe.errors import DataError, DeviceError, SegcaffeError
from segcaffe.parallel import Alone, group, use
from segcaffe.parallel.launch import join, launched
from segcaffe.threads import parallel


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


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of two processes, as Slurm tells it."""
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")


@pytest.mark.usefixtures("slurm")
def test_processes_of_slurm_work_without_mpi4py(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert not join(False).joint
    assert "This process works alone." in caplog.text
    with pytest.raises(DeviceError, match="MPI cannot be used"):
        join(True)


@pytest.mark.usefixtures("slurm")
def test_an_mpi_that_is_not_the_launchers_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = SimpleNamespace(Get_size=lambda: 1)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_WORLD=world)))
    assert not join(False).joint
    assert "tells of 2 processes" in caplog.text
    with pytest.raises(DeviceError, match="knows of this one alone"):
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


class Second(Alone):
    """The second of two ranks of a machine, the first of which has met one error."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.connected, self.local_rank = True, 1

    def gather(self, value: Any, *, first_only: bool = False) -> list[Any]:
        return [["a.png: cannot be read"], value]


@pytest.mark.parametrize(("given", "number"), [(None, 1), ("0", 1), ("2", 3), ("4,6", 6), ("4,6,7", 6)])
def test_each_rank_of_a_machine_has_a_gpu_of_its_own(given: str | None, number: int) -> None:
    with use(Second()):
        assert _gpu_number(given) == number


def test_several_gpus_are_for_several_ranks() -> None:
    assert _gpu_number("3") == 3
    with pytest.raises(SegcaffeError, match="with --mpi also several"):
        _gpu_number("0,1")


def test_cores_are_parted_unless_a_number_of_threads_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGCAFFE_NUM_THREADS", raising=False)
    monkeypatch.setattr(parallel, "_usable_cores", lambda: 8)
    for threads, processes, expected in ((0, 4, 2), (0, 3, 2), (0, 16, 1), (0, 1, 8), (5, 4, 5)):
        monkeypatch.setattr(parallel, "_threads", threads)
        parallel.share_cores(processes)
        assert parallel.num_threads() == expected


def test_bad_items_of_all_ranks_count() -> None:
    within = BadItems(2)
    within.add(DataError("b.png: cannot be read"))
    within.join(Second())
    assert within.text().splitlines()[1:] == ["  a.png: cannot be read", "  b.png: cannot be read"]
    beyond = BadItems(1)
    beyond.add(DataError("b.png: cannot be read"))
    with pytest.raises(DataError, match="These are more than --skip-bad 1 allows"):
        beyond.join(Second())
