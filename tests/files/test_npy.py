"""Arrays in .npy format whose headers claim what is not so: an error in words, and no memory taken for it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.cli.classify import _array_of_images
from segcaffe.convert import formats
from segcaffe.data.label_files import read_labels
from segcaffe.data.mean import read_mean_pixel
from segcaffe.errors import SegcaffeError
from segcaffe.files.npy import array_of_bytes


def npy(header: str, content: bytes = bytes(64), version: int = 1) -> bytes:
    """A file with that header."""
    encoded = header.encode("latin1") + b"\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(encoded))
        + encoded
        + content
    )


def table(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


BAD = {
    "shape beyond the file": npy(table(f"({1 << 40},)")),
    "product that wraps": npy(table(f"({1 << 33}, {1 << 33})")),
    "negative": npy(table("(-1,)")),
    "axes": npy(table("(" + "1, " * 70 + ")")),
    "long integer": npy(table("(" + "9" * 5000 + ",)")),
    "truth values for extents": npy(table("(True, 1.5)")),
    "objects": npy(table("(1,)", "'|O'")),
    "no type": npy(table("(1,)", "'<q9'")),
    "type of a list": npy(table("(1,)", "[1, 2]")),
    "type of no bytes": npy(table("(1,)", "'|V0'")),
    "nested": npy("(" * 900 + ")" * 900),
    "no literal": npy("{'descr': open('x')"),
    "unfinished": npy("{'descr': '''"),
    "nothing": npy(""),
    "unknown version": npy(table("(1,)"), version=9),
    "cut off": npy(table("(16,)"))[:20],
    "archive": b"PK\x05\x06" + bytes(18),
    "pickle": b"\x80\x04K\x01.",
    "empty": b"",
}
READERS: list[tuple[str, Callable[[Path], Any]]] = [
    (".npy", lambda path: read_mean_pixel(path, "mean")),
    (".npy", lambda path: read_labels(path, "eval")),
    (".npy", _array_of_images),
]


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_array(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        array_of_bytes(content)


@pytest.mark.parametrize(("suffix", "read"), READERS)
@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_readers(tmp_path: Path, suffix: str, read: Callable[[Path], Any], content: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(SegcaffeError, match=r"x\.npy"):
        read(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "?", "<i8"])
def test_arrays_as_numpy_writes_them(order: str, dtype: str) -> None:
    for shape in ((), (0, 3), (2, 3, 4)):
        array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype), order=order)  # type: ignore[call-overload]
        file = io.BytesIO()
        np.save(file, array)
        found = array_of_bytes(file.getvalue())
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        found[...] = 0


def test_safetensors(tmp_path: Path) -> None:
    entries = [
        '{"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}',
        '{"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}',
        '{"dtype": "F32", "shape": [' + "1," * 69 + '1], "data_offsets": [0, 4]}',
        '{"dtype": "F32", "shape": [' + "9" * 5000 + '], "data_offsets": [0, 4]}',
        '{"dtype": "F32", "shape": {}, "data_offsets": [0]}',
        "[1]", "null", '"text"',
    ]  # fmt: skip
    path = tmp_path / "x.safetensors"
    for entry in entries:
        header = f'{{"ip/0": {entry}}}'.encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with pytest.raises(SegcaffeError, match="safetensors file is damaged"):
            formats.load(path)
