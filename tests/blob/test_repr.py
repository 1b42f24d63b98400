"""A blob in words: what it holds, told without computing or moving anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.blob import Blob, Buffer, BufferPart
from segcaffe.blob.value_range import MOST
from segcaffe.device import compat
from segcaffe.fusion.lazy import LazyBlob
from tests import fake_gpu


def blob_of(values: Any, dtype: Any = np.float32) -> Blob:
    array = np.asarray(values, dtype)
    blob = Blob(array.shape, dtype)
    blob.data[...] = array
    return blob


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: blob_of([[0, 1, 2], [3, 4, 5]]), "shape=(2, 3), dtype=float32, min=0, max=5, mean=2.5"),
        (lambda: blob_of([1.23456789], np.float64), "shape=(1,), dtype=float64, min=1.235, max=1.235, mean=1.235"),
        (lambda: blob_of([np.nan, 1, 3]), "shape=(3,), dtype=float32, min=1, max=3, mean=2, nan=1"),
        (lambda: blob_of([np.nan, np.nan]), "shape=(2,), dtype=float32, nan=2"),
        (lambda: blob_of([np.inf, -np.inf]), "shape=(2,), dtype=float32, min=-inf, max=inf, mean=nan"),
        (lambda: blob_of([3e38, 3e38]), "shape=(2,), dtype=float32, min=3e+38, max=3e+38, mean=3e+38"),
        (lambda: blob_of(7), "shape=(), dtype=float32, min=7, max=7, mean=7"),
        (lambda: Blob((0, 3)), "shape=(0, 3), dtype=float32, empty"),
        (lambda: Blob((2,)), "shape=(2,), dtype=float32, all 0, not read yet"),
    ],
)
def test_shape_type_and_range(make: Callable[[], Blob], text: str) -> None:
    assert repr(make()) == f"Blob({text})"


def test_a_look_allocates_nothing() -> None:
    blob = Blob((1000, 1000))
    repr(blob)
    assert blob.allocated == 0


def test_only_the_blobs_own_elements_count() -> None:
    blob = blob_of([1, 2, 3, 100])
    blob.reshape(3)
    assert "max=3" in repr(blob)
    blob.use_buffer("data", BufferPart(Buffer.around(np.arange(9, dtype=np.float32)), 2, 4))
    assert "min=2, max=4, mean=3" in repr(blob)


def test_of_a_large_blob_a_sample_is_looked_at() -> None:
    blob = Blob((2000, 64, 64))
    blob.data[...] = np.arange(64)
    start = time.process_time()
    text = repr(blob)
    assert time.process_time() - start < 0.2
    # All columns are in it, though the distance is a multiple of none.
    assert "min=0, max=63, mean=31." in text
    looked = int(text.rstrip(")").rpartition(" ")[2])
    assert MOST // 2 < looked <= MOST


def test_a_lazy_blob_stays_to_be_computed() -> None:
    blob = LazyBlob((2,))
    made = []

    def make() -> None:
        made.append(1)
        blob.data[...] = 4

    blob.defer("data", make)
    assert repr(blob) == "Blob(shape=(2,), dtype=float32, not computed)"
    assert not made
    assert blob.data[0] == 4
    assert "min=4, max=4" in repr(blob)


def test_values_on_the_device_stay_there() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    device.set_mode_gpu()
    blob = blob_of([1, 2])
    blob.array[...] = 3
    assert blob.buffer("data").head == "device"
    assert repr(blob) == "Blob(shape=(2,), dtype=float32, values on the GPU)"
    assert blob.buffer("data").head == "device"
    # A look at values that are on both sides leaves them there.
    blob.buffer("data").read_host()
    assert "min=3, max=3" in repr(blob)
    assert blob.buffer("data").head == "both"
