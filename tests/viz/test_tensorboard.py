"""Event files for TensorBoard."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segcaffe.viz.tensorboard import tensorboard
from tests.solver.nets import small, small_solver

__all__ = ["small"]


def _events(path: Path) -> Iterator[Any]:
    """The events of a file: their size, a checksum, the message, a checksum."""
    messages = pytest.importorskip("tensorboardX.proto.event_pb2")
    content = path.read_bytes()
    while content:
        (size,) = struct.unpack_from("<Q", content)
        yield messages.Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]


def test_a_resumed_run_hides_what_was_written_for_later_iterations(small: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    solver = small_solver()
    files = []
    for name, steps in (("first", 3), ("second", 2)):
        with tensorboard(solver, str(tmp_path / name)):
            solver.step(steps)
        (path,) = (tmp_path / name).iterdir()
        assert path.name.startswith("events.out.tfevents.")
        files.append(list(_events(path)))
    starts = [[event.step for event in events if event.HasField("session_log")] for events in files]
    # The loss of iteration 3 stays, those from 4 on are written anew.
    assert starts == [[], [4]]
    losses = [[event.step for event in events for v in event.summary.value if v.tag == "loss"] for events in files]
    assert losses == [[1, 2, 3], [4, 5]]


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_the_values_and_nothing_else(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = pytest.importorskip("tensorboardX.record_writer")
    solver = small_solver()
    with tensorboard(solver, str(tmp_path / "tb")):
        monkeypatch.setattr(records.RecordWriter, "flush", _full)
        solver.step(30)
    assert solver.iter == 30
    assert capsys.readouterr().err.count("values for TensorBoard are lost: the disk is full") == 1
