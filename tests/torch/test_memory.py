"""Memory of answers is taken again once nothing holds it, and not before; the C library is told only when asked."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
segcaffe_torch = pytest.importorskip("segcaffe.torch")

from segcaffe.functional.outputs import Outputs, outputs  # noqa: E402


@pytest.fixture(autouse=True)
def _nothing_unused() -> None:
    gc.collect()
    outputs.release()


def _distance() -> Any:
    return segcaffe_torch.local_distance(torch.ones(1, 2, 50, 60), 3, norm="l1")


def test_memory_of_a_tensor_is_taken_again() -> None:
    first = _distance()
    place = first.data_ptr()
    del first
    assert outputs.unused() > 0
    second = _distance()
    assert second.data_ptr() == place
    assert outputs.unused() == 0


@pytest.mark.parametrize(
    "hold", [lambda t: t[:, 2:5], lambda t: t.numpy(), np.from_dlpack, lambda t: t.detach()], ids=range(4)
)
def test_what_shares_its_memory_keeps_it(hold: Any) -> None:
    first = _distance()
    held, place = hold(first), first.data_ptr()
    expected = torch.as_tensor(held).clone()
    del first
    second = segcaffe_torch.local_distance(torch.rand(1, 2, 50, 60), 3, norm="l1")
    assert second.data_ptr() != place
    assert torch.equal(torch.as_tensor(held), expected)


def test_arrays_of_numpy_are_not_lent() -> None:
    from segcaffe import functional

    found = functional.local_distance(np.ones((1, 2, 50, 60)), 3)
    del found
    assert outputs.unused() == 0


def test_no_more_is_kept_than_told() -> None:
    lender = Outputs()
    arrays = [lender.empty((1 << 22,), np.float32) for _ in range(6)]
    assert lender.unused() == 0
    arrays.clear()
    assert 0 < lender.unused() <= 1 << 26
    lender.release()
    assert lender.unused() == 0


def test_keeping_memory_is_asked_for() -> None:
    """In a process of its own, since it holds for all of it."""
    program = "from segcaffe.torch import keep_memory; print(keep_memory(1 << 20))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert found in {"True", "False"}
    assert found == "True" or sys.platform != "linux" or "musl" in sys.version


def test_less_than_nothing_cannot_be_kept() -> None:
    from segcaffe.errors import SegcaffeError
    from segcaffe.torch import keep_memory

    with pytest.raises(SegcaffeError, match="size is -1; it is the number of bytes"):
        keep_memory(-1)
