"""MATLAB files, against SciPy's reader; damaged ones are told of in words, whatever they claim."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from segcaffe.data.mat import load_variable, read_mat
from segcaffe.errors import DataError, LimitError
from segcaffe.files.limits import Budget
from tests.conftest import shared_files

TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?")
SHAPES = ((), (1,), (3, 4), (5, 1), (0, 3), (4, 3, 2), (2, 3, 4, 5), (1, 1, 1, 7))


def variables() -> dict[str, Any]:
    """Numbers of every type and shape between variables of other kinds."""
    rng = np.random.default_rng(0)
    numbers = {
        f"v{i}_{kind.strip('?')}": rng.integers(0, 100, shape).astype(kind)
        for i, shape in enumerate(SHAPES)
        for kind in TYPES
    }
    text = {"text": "hello", "none": np.array(["a", "bc"], object), "sparse": csc_matrix(np.eye(5))}
    return {**text, "complex": np.array([1 + 2j]), **numbers, "last": np.arange(6.0)}


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_are_what_scipy_reads(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, variables(), do_compression=packed)
    expected = loadmat(path)
    for name, value in variables().items():
        found = load_variable(path, name, "test")
        if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
            assert isinstance(found, np.ndarray)
            assert found.dtype == expected[name].dtype
            np.testing.assert_array_equal(found, expected[name])
            assert found.flags.writeable
        else:
            assert found is None
    assert load_variable(path, "absent", "test") is None


def test_version_4(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    values = {name: np.arange(12, dtype=kind).reshape(3, 4) for name, kind in (("a", "f8"), ("b", "u1"), ("c", "i4"))}
    savemat(path, {"text": "hello", "complex": np.array([[1 + 2j]]), **values}, format="4")
    for name, value in values.items():
        found = load_variable(path, name, "test")
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, value)
        assert found.dtype == loadmat(path)[name].dtype
    assert load_variable(path, "text", "test") is load_variable(path, "complex", "test") is None


@pytest.mark.parametrize("packed", [False, True])
def test_structs(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    cells = np.empty(2, object)
    cells[:] = [csc_matrix(np.eye(2)), "text"]
    savemat(path, {"x": {"Boundaries": cells, "Segmentation": label, "CategoriesPresent": [1.0, 2.0]}, "y": label},
            do_compression=packed)  # fmt: skip
    found = load_variable(path, "x", "test")
    assert isinstance(found, dict)
    assert list(found) == ["Boundaries", "Segmentation", "CategoriesPresent"]
    assert found["Boundaries"] is None
    np.testing.assert_array_equal(found["Segmentation"], label)
    np.testing.assert_array_equal(found["CategoriesPresent"], [[1, 2]])


def test_files_of_the_original() -> None:
    files = shared_files("golden/data/mat*/**/*.mat")
    assert files
    for path in files:
        np.testing.assert_array_equal(load_variable(path, "data", "test"), loadmat(path)["data"])


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    inner = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 2, 3)) + element(1, b"data")
    inner += element(9, np.arange(6, dtype=">f8").tobytes())
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI" + element(14, inner))
    np.testing.assert_array_equal(load_variable(path, "data", "test"), loadmat(path)["data"])


def test_what_unfolds_without_measure(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"data": np.zeros((1 << 25, 3), np.uint8)}, do_compression=True)
    with pytest.raises(LimitError, match=r'test: ".*x.mat": the variable "data" would bring .* --max-bytes 101M'):
        read_mat(path, "test")


def test_a_variable_that_claims_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    inner = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1 << 30, 1 << 30)
    inner += struct.pack("<II8s", 1, 4, b"data") + struct.pack("<II", 9, 8) + bytes(8)
    packed = zlib.compress(struct.pack("<II", 14, len(inner)) + inner)
    for matrix in (struct.pack("<II", 14, len(inner)) + inner, struct.pack("<II", 15, len(packed)) + packed):
        path.write_bytes(head + matrix)
        with pytest.raises(DataError, match=r"an array of shape \(1073741824, 1073741824\) has 8 bytes"):
            read_mat(path, "test")


def test_damaged_files(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "x.mat"
    seeds = []
    for packed in (False, True):
        savemat(path, {"first": np.eye(3), "data": np.arange(60.0).reshape(3, 4, 5)}, do_compression=packed)
        seeds.append(path.read_bytes())
    savemat(path, {"data": {"a": np.eye(3), "b": "text"}})
    seeds.append(path.read_bytes())
    savemat(path, {"data": np.eye(3)}, format="4")
    seeds.append(path.read_bytes())
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(128 if len(content) > 400 else 0, len(content))
            content[at : at + 4] = rng.choice((rng.randbytes(1), b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)))
        path.write_bytes(bytes(content[: rng.choice((len(content), len(content), rng.randrange(len(content))))]))
        try:
            load_variable(path, "data", "test")
            outcomes["read"] += 1
        except DataError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50


def test_a_budget_is_shared_by_all_that_is_read() -> None:
    budget = Budget("x", 1000)
    budget.take(1 << 25, "one half")
    budget.take(1 << 25, "the other")
    with pytest.raises(LimitError, match=r"x: more would bring what is made of the file to 67.1 MB. Its size is 1 kB"):
        budget.take(1, "more")
