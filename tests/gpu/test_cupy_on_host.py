"""CuPy itself in front of a runtime made of the host's memory (`host_runtime.py`), in a process of its own."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu import host

ROOT = Path(__file__).parents[2]
CASES = "test_layer and (Convolution_3x3 or ReLU or InnerProduct or SpatialProduct or NormConv)"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
@pytest.mark.skipif(not host.available, reason="g++ is not installed")
@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="made for Linux on x86-64")
def test_layers_through_cupy() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.gpu.host_runtime", "-p", "no:cacheprovider"]
    command += ["tests/gpu/test_on_device.py", "-k", CASES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
