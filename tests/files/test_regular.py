"""What is opened for reading: regular files, whatever names a list, a net or a database holds."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segcaffe.convert import formats
from segcaffe.data.database import Database
from segcaffe.data.database_writer import create_database
from segcaffe.data.hdf5 import read_rows
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_labels
from segcaffe.data.lists import read_list
from segcaffe.data.mean import read_mean_pixel
from segcaffe.data.transformer import read_mean
from segcaffe.errors import SegcaffeError
from segcaffe.files.regular import opened, read_bytes
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.pycaffe.io import load_image
from segcaffe.snapshot.solverstate import load_state
from segcaffe.viz.logs import read_log
from tests.conftest import ROOT
from tests.data.leveldb_files import Entry, write_database

READERS: dict[str, Callable[[str], Any]] = {
    "x.caffemodel": formats.load,
    "x.npz": formats.load,
    "x.safetensors": formats.load,
    "x.solverstate": load_state,
    "x.prototxt": lambda path: Net(path, phase=0),
    "x.txt": lambda path: read_list(path, "layer"),
    "x.png": lambda path: read_image(path, True, "layer"),
    "x.jpg": load_image,
    "x.h5": lambda path: read_rows(path, ["data"], "layer"),
    "x.npy": lambda path: read_labels(Path(path), "layer"),
    "x.mat": lambda path: read_labels(Path(path), "layer"),
    "mean.npy": lambda path: read_mean_pixel(path, "layer"),
    "mean.binaryproto": lambda path: read_mean(path, "layer"),
    "x.log": read_log,
    "x.mdb": lambda path: Database(path, caffe_pb2.DataParameter.LMDB, "layer").count(),
}


@pytest.mark.parametrize("name", READERS)
def test_pipes_are_refused(name: str, tmp_path: Path) -> None:
    """Opening one would wait for whoever writes to it."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(SegcaffeError, match="It is a pipe, and only regular files are read"):
        READERS[name](str(tmp_path / name))


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="the system has no /dev/zero")
@pytest.mark.parametrize("name", READERS)
def test_devices_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(SegcaffeError, match="It is a device, and only regular files are read"):
        READERS[name](str(tmp_path / name))


def test_the_names_in_lists(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/pipe 0\n")
    image = 'name: "x" layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param { '
    rows = 'name: "x" layer { name: "data" type: "HDF5Data" top: "data" hdf5_data_param { '
    for text in (image, rows):
        (tmp_path / "net.prototxt").write_text(f'{text} source: "{tmp_path}/list.txt" batch_size: 1 }} }}')
        (tmp_path / "list.txt").write_text(f"{tmp_path}/pipe{' 0' if text is image else ''}\n")
        with pytest.raises(SegcaffeError, match="It is a pipe"):
            Net(str(tmp_path / "net.prototxt"), phase=0)


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0abc" * 1000)
    assert read_bytes(tmp_path / "x") == b"\0abc" * 1000
    with opened(str(tmp_path / "x")) as file:
        assert file.read(5) == b"\0abc\0"
    with (tmp_path / "large").open("wb") as file:
        file.truncate((1 << 26) + 1)
    assert len(read_bytes(tmp_path / "large")) == (1 << 26) + 1
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "y")
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_a_file_that_memory_does_not_hold(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(OSError, match="more than memory holds"):
        read_bytes(tmp_path / "x")


def _databases(folder: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """A database of each kind with five items, and the names of its files."""
    with create_database(folder / "lmdb", "lmdb", "test") as writer:
        for i in range(5):
            writer.put(f"{i:08d}", bytes(100))
    yield folder / "lmdb", caffe_pb2.DataParameter.LMDB, ["data.mdb"]
    entries: list[Entry] = [(b"%08d" % i, i + 1, bytes(100)) for i in range(5)]
    write_database(folder / "leveldb", [(1, entries[:3])], [entries[3:]])
    names = sorted(path.name for path in (folder / "leveldb").iterdir() if path.name != "000002.log")
    assert len(names) == 4, "CURRENT, manifest, log and table"
    yield folder / "leveldb", caffe_pb2.DataParameter.LEVELDB, names


def test_a_database_stays_in_its_folder(tmp_path: Path) -> None:
    for folder, backend, names in _databases(tmp_path):
        for name in names:
            file, aside = folder / name, tmp_path / "aside"
            shutil.move(file, aside)
            file.symlink_to(aside)
            with pytest.raises(SegcaffeError, match=f"{name}.*link out of the database's folder|link out.*{name}"):
                Database(str(folder), backend, "layer").count()
            file.unlink()
            shutil.move(aside, folder / "aside")
            file.symlink_to("aside")
            assert Database(str(folder), backend, "layer").count() == 5, "links within the folder may be followed"
            file.unlink()
            shutil.move(folder / "aside", file)
        elsewhere = tmp_path / f"{folder.name}-link"
        elsewhere.symlink_to(folder)
        assert Database(str(elsewhere), backend, "layer").count() == 5, "the folder itself may be a link"


OPENERS = {"open", "read_bytes", "read_text", "fromfile", "loadtxt", "genfromtxt", "loadmat", "imread", "np.load",
           "h5py.File"}  # fmt: skip
OWN = {
    "files/regular.py": "opens them",
    "files/disk.py": "opens what it has written, to bring it to the disk",
    "files/lock.py": "makes and opens locks",
    "files/process.py": "asks the system about itself",
    "files/system.py": "opens folders, to bring them to the disk",
    "files/hdf5_writer.py": "writes",
    "files/hdf5.py": "asks files/regular.py first",
    "cli/main.py": "opens os.devnull",
    "cli/configs.py": "reads the package's own files, and compares them with files",
    "data/database_writer.py": "makes databases",
    "recipes/demo.py": "reads what it has written",
    "proto/numbers.py": "reads the package's own table",
    "proto/__init__.py": "reads the package's own schema",
    "viz/explore/page.py": "reads the package's own page",
    "export/torch/snippets.py": "reads the package's own source",
}


def _names_of_calls(path: Path) -> Iterator[tuple[int, str]]:
    """The calls of a module but those that open files to write them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            words = {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
            if words & {"w", "wb", "w:gz"}:
                continue
            function = node.func
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            yield node.lineno, f"{owner}.{name}" if owner else name


def test_files_are_opened_by_what_looks_at_them_first() -> None:
    """A reader that opens files by itself would open pipes and devices too."""
    harmless = ("regular.", "lmdb.", "archive.", "webbrowser.", "file.open", "self._runtime.open")
    found = []
    for path in sorted((ROOT / "segcaffe").rglob("*.py")):
        name = path.relative_to(ROOT / "segcaffe").as_posix()
        if name in OWN or name.startswith(("jit/", "kernels/", "device/")):
            continue
        for line, call in _names_of_calls(path):
            owner, _, function = call.rpartition(".")
            opens = call in OPENERS or (owner and function in OPENERS)
            if opens and call not in ("read_bytes", "read_text") and not call.startswith(harmless):
                found.append(f"{name}:{line}: {call}")
    assert found == [], "open files by files/regular.py, or say in OWN why not"


def test_hdf5_of_a_folder(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros((2, 3))
    assert read_rows(str(tmp_path / "x.h5"), ["data"], "layer")[0].shape == (2, 3)
    with pytest.raises(SegcaffeError, match="cannot read"):
        read_rows(str(tmp_path), ["data"], "layer")
