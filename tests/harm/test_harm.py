"""A short form of ``python -m tests.harm``."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FEW = "--kills", "2", "--other-kills", "2", "--full", "2", "--pairs", "2"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")
def test_nothing_is_lost_and_nothing_is_mixed() -> None:
    # In a process of its own: it forks, which must not be done beside the threads of other tests.
    command = [sys.executable, "-m", "tests.harm", *FEW]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^([^:]+): (\d+)", done.stdout, re.MULTILINE))
    # A command that comes to its end before it is killed does not count as a kill.
    names = ["kills of train, binary", "kills of train, hdf5", "kills of other commands", "full disks", "pairs"]
    assert list(counts) == names
    assert counts["full disks"] == counts["pairs"] == "2"
