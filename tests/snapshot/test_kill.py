"""Killed in the middle of a snapshot, at any moment: whatever state file is there can be continued from."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segcaffe.snapshot.caffemodel import load_weights
from segcaffe.snapshot.solverstate import load_state

WRITER = """
import sys
from pathlib import Path
import numpy as np
from segcaffe.blob.proto import from_array
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.caffemodel import save_weights
from segcaffe.snapshot.files import write_file
from segcaffe.snapshot.solverstate import encode_state
from segcaffe.snapshot.state import State

suffix = sys.argv[1]
print("ready", flush=True)
for i in range(1_000_000):
    values = np.full((200, 500), i, np.float32)
    net = NetParameter()
    net.layer.add(name="ip").blobs.append(from_array(values))
    save_weights(net, f"snap.caffemodel{suffix}")
    state = State(i, 0, f"snap.caffemodel{suffix}", [values])
    write_file(f"snap.solverstate{suffix}", hdf5.encode_state(state) if suffix else encode_state(state))
"""


def _kill_after(folder: Path, suffix: str, seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, suffix], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


def _check(folder: Path, suffix: str) -> bool:
    weights = folder / f"snap.caffemodel{suffix}"
    if not weights.exists():
        return False
    (layer,) = load_weights(weights).layer
    assert len(set(layer.blobs[0].data)) == 1
    state = folder / f"snap.solverstate{suffix}"
    if state.exists():
        (history,) = load_state(state).history
        assert np.ptp(history) == 0
    return True


def _kill_often(folder: Path, suffix: str, times: int) -> None:
    rng = random.Random(1)
    readable, longest = 0, 0.2
    for _ in range(times):
        _kill_after(folder, suffix, rng.uniform(0.02, longest))
        readable += _check(folder, suffix)
        if not readable:
            # A machine so busy that nothing is written in this time: give the next run more.
            longest *= 2
    assert readable > 0


@pytest.mark.parametrize("suffix", ["", ".h5"], ids=["binary", "hdf5"])
def test_a_few_kills(tmp_path: Path, suffix: str) -> None:
    _kill_often(tmp_path, suffix, 3)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".h5"], ids=["binary", "hdf5"])
def test_many_kills(tmp_path: Path, suffix: str) -> None:
    _kill_often(tmp_path, suffix, 40)
