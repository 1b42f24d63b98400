"""HDF5 files on a disk that becomes full: an error, and the process and what was written before live on.

The disk is a limit on the size of files, in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segcaffe.cli.detect import write_hdf5
from segcaffe.data.files import replacing
from segcaffe.files import hdf5_writer
from segcaffe.files.hdf5_writer import appending, writing
from segcaffe.net.net import Net
from segcaffe.predict.features import extract
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.testing import LayerCase

VALUES = np.arange(60_000, dtype=np.float32).reshape(10, 6000)
SIZE = VALUES.nbytes


def make(file: Any) -> None:
    file.create_dataset("data", data=VALUES, maxshape=(None, 6000), chunks=VALUES.shape)


def append(file: Any) -> None:
    dataset = file["data"]
    dataset.resize(len(dataset) + len(VALUES), axis=0)
    dataset[-len(VALUES) :] = VALUES


def rows(path: Path) -> np.ndarray[Any, Any]:
    with h5py.File(path, "r") as file:
        return np.asarray(file["data"])


def outcome(work: Callable[[], object], limit: int) -> str:
    """What a process says in which no file may become larger: an error's type and text, "done", or how it ended."""

    def run(results: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            work()
            results.send("done")
        except Exception as error:
            results.send(f"{type(error).__name__}: {error}")

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(theirs,))
    with warnings.catch_warnings():
        # Newer Pythons warn of forking beside threads; the child uses none of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    try:
        result: str = ours.recv()
    except EOFError:
        result = "nothing"
    process.join()
    return result if process.exitcode == 0 else f"the process ended with {process.exitcode} after {result}"


@pytest.mark.parametrize("limit", [0, 50, 3000, SIZE // 2, SIZE, SIZE + 3000, 2 * SIZE])
def test_a_new_file(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"

    def work() -> None:
        with writing(h5py, path) as (file, _):
            make(file)
            append(file)

    assert outcome(work, limit) == "OSError: [Errno 27] File too large"
    assert outcome(work, 4 * SIZE) == "done"
    np.testing.assert_array_equal(rows(path), np.concatenate([VALUES] * 2))


def test_what_went_wrong_is_told_before_the_end(tmp_path: Path) -> None:
    told = []

    def work() -> None:
        with writing(h5py, tmp_path / "x.h5") as (file, check):
            make(file)
            file.flush()
            for _ in range(100):
                check()
                append(file)
                file.flush()
                told.append(1)

    def counted() -> None:
        try:
            work()
        except OSError:
            raise ValueError(f"{len(told)} batches") from None

    assert outcome(counted, 5 * SIZE) == "ValueError: 4 batches"


@pytest.mark.parametrize("room", [0, 3000, SIZE // 2, SIZE])
def test_appending_leaves_what_is_there(room: int, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with writing(h5py, path) as (file, _):
        make(file)
    before = path.read_bytes()

    def work() -> None:
        with appending(h5py, path, SIZE) as file:
            append(file)

    assert outcome(work, len(before) + room) == "OSError: [Errno 27] File too large"
    assert path.read_bytes() == before
    assert outcome(work, 4 * SIZE) == "done"
    np.testing.assert_array_equal(rows(path), np.concatenate([VALUES] * 2))
    assert path.stat().st_size < len(before) + SIZE + 3000, "what was reserved and not needed is given back"


def test_where_nothing_can_be_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file may be damaged, and the process lives."""
    monkeypatch.setattr(hdf5_writer, "_reserve", lambda raw, count: None)
    path = tmp_path / "x.h5"
    with writing(h5py, path) as (file, _):
        make(file)

    def work() -> None:
        with appending(h5py, path, SIZE) as file:
            append(file)

    for room in (0, 1000, SIZE // 2):
        assert outcome(work, path.stat().st_size + room) == "OSError: [Errno 27] File too large"


def test_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    case = LayerCase("HDF5Output", f'hdf5_output_param {{ file_name: "{path}" }}', ((10, 6000), (10,)), 0)

    def forward(times: int) -> None:
        layer, bottom, _ = case.build()
        for _ in range(times):
            layer.forward(bottom, [])

    assert outcome(lambda: forward(2), 4 * SIZE) == "done"
    before = path.read_bytes()
    assert f'cannot write "{path}": File too large' in outcome(lambda: forward(1), 1000)
    assert path.read_bytes() == before, "the file of an earlier run"
    assert f'cannot append to "{path}": File too large' in outcome(lambda: forward(9), 5 * SIZE)
    assert len(rows(path)) in (20, 30), "whole batches"


def test_features_and_detections(tmp_path: Path) -> None:
    message = NetParameter(name="n")
    layer = message.layer.add(name="x", type="Input", top=["x"])
    layer.input_param.shape.add(dim=[10, 6000])
    net = Net(message, phase=1)
    path = tmp_path / "x.h5"
    told = outcome(lambda: extract(net, ["x"], path, 9), 3 * SIZE)
    assert told.startswith("DataError: results: cannot write")
    assert "File too large" in told
    found: Any = [{"filename": "a", "window": np.zeros(4), "prediction": np.zeros(60_000, np.float32)}]

    def detect() -> None:
        with replacing(path, "results") as part:
            write_hdf5(found, part)

    assert outcome(detect, SIZE // 2).startswith("DataError: results: cannot write")
    assert list(tmp_path.iterdir()) == [], "nothing half done is left"
    assert outcome(lambda: extract(net, ["x"], path, 2), 3 * SIZE) == "done"
    with h5py.File(path) as file:
        assert file["x"].shape == (20, 6000)
