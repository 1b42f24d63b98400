from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.layers.base import Layer
from segcaffe.layers.source.hdf5_data import HDF5Data
from segcaffe.testing import LayerCase

LENGTHS = (3, 1, 4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of numbered rows; the working directory."""
    start = 0
    for i, length in enumerate(LENGTHS):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["top0"] = np.arange(start, start + length, dtype=np.float32)
            file["top1"] = np.arange(start, start + length).reshape(-1, 1) * [1, 10]
        start += length
    (tmp_path / "files.txt").write_text("0.h5\n1.h5\n2.h5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(batch_size: int, shuffle: bool = False, tops: int = 2) -> tuple[HDF5Data, list[Blob]]:
    options = f'hdf5_data_param {{ source: "files.txt" batch_size: {batch_size} shuffle: {str(shuffle).lower()} }}'
    layer, _, top = LayerCase("HDF5Data", options, (), tops).build()
    assert isinstance(layer, HDF5Data)
    return layer, top


def run(layer: Layer, top: list[Blob], passes: int) -> list[float]:
    rows: list[float] = []
    for _ in range(passes):
        layer.forward([], top)
        np.testing.assert_array_equal(top[1].data, top[0].data[:, None] * [1, 10])
        rows.extend(top[0].data)
    return rows


@pytest.mark.parametrize("batch_size", [1, 3, 5, 20])
def test_batches_run_on_over_files_and_epochs(folder: Path, batch_size: int) -> None:
    assert run(*build(batch_size), 4) == [i % 8 for i in range(4 * batch_size)]


def test_shuffled_epochs_have_each_row_once_in_another_order(folder: Path) -> None:
    rows = run(*build(4, shuffle=True), 6)
    epochs = [rows[:8], rows[8:16], rows[16:]]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_restored_source_continues(folder: Path) -> None:
    device.set_random_seed(2)
    whole = run(*build(3, shuffle=True), 9)
    device.set_random_seed(2)
    first, top = build(3, shuffle=True)
    run(first, top, 4)
    second, top = build(3, shuffle=True)
    second.restore(json.loads(json.dumps(first.state())))
    assert run(second, top, 5) == whole[12:]


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r'"0.h5" has no dataset "top2", the name of a top. It has: top0, top1'):
        build(1, tops=3)
    with h5py.File("0.h5", "a") as file:
        file["top2"] = [1.0]
    with pytest.raises(DataError, match=r"equally many rows.*'top2': 1"):
        build(1, tops=3)
    (folder / "0.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r'"0.h5" cannot be read as HDF5. Received: a text file'):
        build(1)
    (folder / "0.h5").unlink()
    with pytest.raises(DataError, match=r'cannot read "0.h5": No such file or directory\.') as caught:
        build(1)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (h5py.SoftLink("/nothing"), '"top0" of "0.h5" is a link to something that is not there'),
        (h5py.ExternalLink("nothing.h5", "/x"), "/top0 is a link to another file, which is not followed"),
    ],
    ids=["soft", "external"],
)
def test_a_link_to_nothing(folder: Path, link: object, message: str) -> None:
    with h5py.File("0.h5", "a") as file:
        del file["top0"]
        file["top0"] = link
    with pytest.raises(DataError, match=message):
        build(1)


@pytest.mark.parametrize(("make", "received"), [
    (lambda file: file.create_dataset("top0", data=h5py.Empty("f4")), r"a data set without values \(null\)"),
    (lambda file: file.create_dataset("top0", data=1.0), r"float64 of shape \(\)"),
    (lambda file: file.create_dataset("top0", data=["a"]), r"object of shape \(1,\)"),
    (lambda file: file.create_group("top0"), "a group"),
])  # fmt: skip
def test_what_is_no_array_of_numbers(folder: Path, make: Callable[[h5py.File], object], received: str) -> None:
    with h5py.File("0.h5", "a") as file:
        del file["top0"]
        make(file)
    with pytest.raises(DataError, match=rf'"top0" of "0.h5" must be an array of numbers.*Received: {received}\.'):
        build(1)


def test_rows_of_another_shape(folder: Path) -> None:
    with h5py.File("1.h5", "w") as file:
        file["top0"], file["top1"] = [3.0], [[1.0, 2.0, 3.0]]
    layer, top = build(4)
    with pytest.raises(DataError, match=r'one shape: \(3,\) in "1.h5", \(2,\) before'):
        layer.forward([], top)


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyError, ValueError, TypeError])
def test_what_the_library_finds_wrong_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(self: h5py.Dataset, *args: object) -> None:
        raise error("bad\nchunk")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    with pytest.raises(DataError, match=r'"0.h5" cannot be read as HDF5. The reason: .*bad'):
        build(1)
