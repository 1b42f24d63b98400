"""What a result says, whatever bytes say it: times and unused bytes in files differ from run to run."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segcaffe.data.database import Database
from segcaffe.data.database_writer import backend_of, is_database
from segcaffe.predict.result_folder import SETTINGS, SINCE

_HIDDEN = (".tmp", ".old", ".lock")
_STATE = ".solverstate"


def content(path: Path) -> Any:
    """The content of a file or folder, to be compared; any exception for one that is not whole."""
    if path.is_dir() and is_database(path):
        database = Database(str(path), backend_of(path), "harm")
        return [bytes(database.value(number).content) for number in range(database.count())]
    if path.is_dir():
        return {file.name: content(file) for file in sorted(path.iterdir()) if _counts(file)}
    if path.name == SETTINGS:
        return {key: value for key, value in json.loads(path.read_text()).items() if key != SINCE}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays}
    if path.suffix == ".h5" and _STATE not in path.name and ".caffemodel" not in path.name:
        return _hdf5(path)
    if path.suffix == ".tgz":
        with tarfile.open(path) as archive:
            return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    return path.read_bytes()


def leftovers(folder: Path) -> list[Path]:
    """What writers hide while they write."""
    return [path for path in folder.rglob(".*") if path.name.endswith(_HIDDEN)]


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix != ".log"


def _hdf5(path: Path) -> dict[str, bytes]:
    found = {}
    with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "shape") else {}))
    return found
