"""HDF5 files that reach outside of themselves, and what is claimed in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segcaffe.data.hdf5 import read_rows
from segcaffe.errors import LimitError, SegcaffeError, WeightsError
from segcaffe.snapshot.hdf5 import load_net, load_state

Maker = Callable[[h5py.File, str, Path], None]
Reader = Callable[[Path], Any]

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def _other(folder: Path) -> str:
    with h5py.File(folder / "other.h5", "w") as file:
        file["values"] = VALUES
    return str(folder / "other.h5")


def _external_link(file: h5py.File, name: str, folder: Path) -> None:
    file[name] = h5py.ExternalLink(_other(folder), "/values")


def _external_link_behind_a_soft_one(file: h5py.File, name: str, folder: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(_other(folder), "/")
    file[name] = h5py.SoftLink("/elsewhere/values")


def _external_storage(file: h5py.File, name: str, folder: Path) -> None:
    (folder / "raw").write_bytes(VALUES.tobytes())
    file.create_dataset(name, VALUES.shape, VALUES.dtype, external=[(str(folder / "raw"), 0, VALUES.nbytes)])


def _virtual(file: h5py.File, name: str, folder: Path) -> None:
    layout = h5py.VirtualLayout(VALUES.shape, VALUES.dtype)
    layout[...] = h5py.VirtualSource(_other(folder), "values", VALUES.shape)
    file.create_virtual_dataset(name, layout)


OUTSIDE: list[tuple[Maker, str]] = [
    (_external_link, "is a link to another file"),
    (_external_link_behind_a_soft_one, "/elsewhere is a link to another file"),
    (_external_storage, "keeps its values in another file"),
    (_virtual, "is a virtual data set"),
]
READERS: list[tuple[str, Reader]] = [
    ("data/ip/0", load_net),
    ("history/0", load_state),
    ("top", lambda path: read_rows(str(path), ["top"], "layer")),
]


@pytest.mark.parametrize(("maker", "message"), OUTSIDE)
@pytest.mark.parametrize(("name", "read"), READERS)
def test_nothing_outside_the_file_is_read(tmp_path: Path, maker: Maker, message: str, name: str, read: Reader) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["iter"] = [3]
        maker(file, name, tmp_path)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file[name], VALUES, "what the library itself reads")
    with pytest.raises(SegcaffeError, match=message):
        read(tmp_path / "x.h5")


def test_a_text_outside_the_file(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((), "S9")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["text"] = np.bytes_("elsewhere")
    layout[()] = h5py.VirtualSource(str(tmp_path / "other.h5"), "text", (), "S9")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["iter"] = [3]
        file.create_group("history")
        file.create_virtual_dataset("learned_net", layout)
    with pytest.raises(WeightsError, match="learned_net is a virtual data set"):
        load_state(tmp_path / "x.h5")


def test_links_within_the_file_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/values"] = VALUES
        file["soft"], file["hard"] = h5py.SoftLink("/a/values"), file["a/values"]
        file["a/circle"] = file["/"]
        file[b"\xff"] = 1
    for values in read_rows(str(tmp_path / "x.h5"), ["soft", "hard"], "layer"):
        np.testing.assert_array_equal(values, VALUES)


def test_what_was_never_written(tmp_path: Path) -> None:
    """A data set of few bytes in the file does not decide how much memory is taken."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("zeros", (1000, 1000), np.float32)
        file.create_dataset("huge", (1 << 20, 1 << 20), np.float32, chunks=(64, 64))
        file.create_dataset("packed", data=np.zeros((1000, 3000), np.float32), compression="gzip")
        file.create_dataset("one", (1, 1), np.uint8, chunks=(1 << 15, 1 << 15), maxshape=(None, None))
        file["again"] = file["huge"]
    path = str(tmp_path / "x.h5")
    assert [values.shape for values in read_rows(path, ["zeros"], "layer")] == [(1000, 1000)]
    assert [values.shape for values in read_rows(path, ["packed"], "layer")] == [(1000, 3000)]
    for name, shown in (("huge", "huge"), ("one", "one"), ("again", "(huge|again)")):
        with pytest.raises(LimitError, match=rf'layer: ".*x.h5": /{shown} would bring .* --max-bytes \d+M'):
            read_rows(path, [name], "layer")
