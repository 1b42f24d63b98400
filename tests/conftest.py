"""What all tests share: where recorded values are, and a clean device state around each test."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segcaffe import device
from segcaffe.device import compat

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
GOLDEN_COPIES = ROOT / "tests" / "golden_data"


def shared_files(pattern: str) -> list[Path]:
    """Files of the shared folder by glob pattern; where it is absent, of the copies in tests/golden_data, or none."""
    copies = GOLDEN_COPIES.glob(pattern.removeprefix("golden/")) if pattern.startswith("golden/") else ()
    return sorted(SHARED.glob(pattern)) or sorted(copies)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Large nets come first, while the process holds little else: compiled kernels stay where they are loaded."""
    items.sort(key=lambda item: "frees_nets" not in getattr(item, "fixturenames", ()))


def pytest_collection_finish() -> None:
    """Leave out of all later searches for cycles what stays until the end: the tests, and what they imported."""
    gc.collect()
    gc.freeze()


def _give_back() -> None:
    """Give memory that nobody uses back to the system: of cycles of references, and what malloc keeps in between."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


@pytest.fixture(scope="module", autouse=True)
def _frees_memory() -> Iterator[None]:
    yield
    _give_back()


@pytest.fixture
def frees_nets() -> Iterator[None]:
    """For tests of large nets: fused nets hold cycles, whose memory the next test must not have to wait for."""
    yield
    _give_back()


@pytest.fixture
def golden() -> Path:
    """The folder of recorded layers, solvers, snapshots and data layers."""
    folder = SHARED / "golden"
    return folder if folder.is_dir() else GOLDEN_COPIES


@pytest.fixture
def shared() -> Path:
    """The folder of recorded values, models and images; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the folder of recorded values (../shared) is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _clean_device() -> Iterator[None]:
    device.set_mode_cpu()
    device.set_random_seed(1)
    yield
    device.set_mode_cpu()
    compat.substitute_gpu_module(None)
