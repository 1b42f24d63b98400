"""How much memory there is, and what is refused for want of it."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.device import host_memory
from segcaffe.device.host_memory import HostMemoryError, in_units, require


def test_the_machine_has_memory_and_some_of_it_is_free() -> None:
    assert 1 << 20 < host_memory.free_memory() <= host_memory.machine_memory() < 1 << 62


def test_more_than_is_free_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "free_memory", lambda: 1 << 30)
    monkeypatch.setattr(host_memory, "machine_memory", lambda: 2 << 30)
    require(1 << 30)
    with pytest.raises(HostMemoryError, match=r"1\.5 GiB are asked for at once; of the machine's 2\.0 GiB, 1\.0 GiB"):
        host_memory.zeros(3 << 27, np.dtype(np.float32))


def test_small_arrays_are_made_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "free_memory", lambda: pytest.fail("looked"))
    assert not host_memory.zeros(1000, np.dtype(np.float32)).any()


@pytest.mark.parametrize("text", ["max\n", "", "99999999999999999999999", None])
def test_a_group_without_a_limit(text: str | None, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, full = tmp_path / "memory.max", host_memory._physical()
    if text is not None:
        limit.write_text(text)
    monkeypatch.setattr(host_memory, "_GROUPS", (str(limit),))
    monkeypatch.setattr(host_memory.resource, "getrlimit", lambda _: (-1, -1))
    assert host_memory.machine_memory.__wrapped__() == full
    limit.write_text("1048576\n")
    assert host_memory.machine_memory.__wrapped__() == 1 << 20


def test_units() -> None:
    assert [in_units(n) for n in (1, 2048, 3 << 29, 5 << 70)] == ["1 bytes", "2.0 KiB", "1.5 GiB", "5242880.0 PiB"]
