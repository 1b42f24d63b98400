"""The log file: what cannot be written is told of once, and stops nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from segcaffe.glog import Verbosity, start_log, terminal_log

log = logging.getLogger("segcaffe")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_costs_the_lines_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.log").symlink_to("/dev/full")
    with terminal_log(Verbosity.QUIET), start_log(str(tmp_path), "x"):
        for _ in range(3):
            log.info("a line")
    told = capsys.readouterr().err
    assert told.count("lines of the log are lost: the disk is full (No space left on device)") == 1
    assert "Traceback" not in told
