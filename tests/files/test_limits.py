"""Files that claim, or unfold to, far more than their size: an error that names the option, and no memory taken."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segcaffe import max_bytes, set_max_bytes
from segcaffe.blob.proto import array_of
from segcaffe.cli.main import main
from segcaffe.convert import formats
from segcaffe.data.hdf5 import read_rows
from segcaffe.errors import DataError, LimitError, SegcaffeError, WeightsError
from segcaffe.files.limits import PACKED, Budget, amount, parse_amount
from segcaffe.proto.caffe_pb2 import BlobProto
from segcaffe.proto.template import expand
from segcaffe.snapshot.solverstate import load_state

FREE = 1 << 20
"""Instead of 64 MiB, so that the tests are quick."""
ZEROS = np.zeros(2 * FREE, np.uint8)
SMALL = np.arange(6, dtype=np.float32)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("segcaffe.files.limits.FREE", FREE)
    yield
    set_max_bytes(0)


def _npz(path: Path, method: int = zipfile.ZIP_DEFLATED, times: int = 1) -> None:
    content = io.BytesIO()
    np.save(content, ZEROS[: len(ZEROS) // times])
    with zipfile.ZipFile(path, "w", method) as archive:
        for i in range(times):
            archive.writestr(f"ip/{i}.npy", content.getvalue())


def _packed_in_pieces(path: Path) -> None:
    """Each array alone is small enough."""
    _npz(path, times=8)


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", data=ZEROS, compression="gzip", chunks=(1 << 20,))


def _never_written(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", (1 << 40,), np.float32, chunks=(1 << 10,))


def _far_index(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data/ip/99999999"] = SMALL


def _far_indices(path: Path) -> None:
    """Each layer alone lacks few blobs."""
    with h5py.File(path, "w") as file:
        for i in range(20):
            file[f"data/ip{i}/99999"] = SMALL


def _many_layers(path: Path) -> None:
    path.write_bytes(b"\xa2\x06\x00" * 100_000)


def _many_old_layers(path: Path) -> None:
    path.write_bytes(b"\x12\x00" * 100_000)


WEIGHTS: dict[str, Callable[[Path], None]] = {
    "packed.npz": _npz,
    "pieces.npz": _packed_in_pieces,
    "packed.caffemodel.h5": _hdf5,
    "unwritten.caffemodel.h5": _never_written,
    "index.caffemodel.h5": _far_index,
    "indices.caffemodel.h5": _far_indices,
    "layers.caffemodel": _many_layers,
    "old_layers.caffemodel": _many_old_layers,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WEIGHTS[name](path)
    with pytest.raises(LimitError, match=rf"{name}: .* would bring .* --max-bytes \d+M.*segcaffe.set_max_bytes"):
        formats.load(path)


@pytest.mark.parametrize("kind", ["history/0", "iter", "current_step"])
def test_states(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.solverstate.h5"
    with h5py.File(path, "w") as file:
        file.create_group("history")
        for name in {"iter", "current_step", kind}:
            file.create_dataset(name, (1 << 40,) if name == kind else (1,), np.int32, chunks=(1,))
    with pytest.raises(LimitError, match=f"x.solverstate.h5: /{kind} would bring"):
        load_state(path)


def test_rows_of_all_tops_count_together(tmp_path: Path) -> None:
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as file:
        for i in range(3):
            file.create_dataset(f"top{i}", (10, 1 << 14), np.uint8)
    assert read_rows(path, ["top0"], "layer")[0].dtype == np.float32, "640 KiB"
    with pytest.raises(LimitError, match=r'layer: ".*x.h5": /top1 would bring'):
        read_rows(path, ["top0", "top1", "top2"], "layer")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_packed_otherwise(method: int, tmp_path: Path) -> None:
    _npz(tmp_path / "x.npz", method)
    with pytest.raises(WeightsError, match="no other method than deflate"):
        formats.load(tmp_path / "x.npz")


def test_a_header_that_unfolds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ip/0.npy", b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 26) + bytes(1 << 26))
    with pytest.raises(WeightsError, match="its header claims 67108864 bytes"):
        formats.load(tmp_path / "x.npz")


def test_tensors_that_overlap(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"

    def write(*places: tuple[int, int]) -> None:
        table = {
            f"ip/{i}": {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}
            for i, (start, end) in enumerate(places)
        }
        header = json.dumps(table).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(400))

    for places in (((0, 400), (0, 400)), ((0, 200), (100, 300)), ((200, 400), (0, 204)), ((0, 400), (4, 8))):
        write(*places)
        with pytest.raises(WeightsError, match=r'the bytes of "ip/\d" and "ip/\d" overlap'):
            formats.load(path)
    write((200, 400), (0, 200), (200, 200))
    assert len(formats.load(path).layer[0].blobs) == 3


def test_data_sets_that_overlap(tmp_path: Path) -> None:
    """Many names for the same values, which are few in the file."""
    path = tmp_path / "x.solverstate.h5"
    with h5py.File(path, "w") as file:
        file["iter"] = 3
        file["values"] = np.zeros(1 << 16, np.float32)
        for i in range(1000):
            file[f"history/{i}"] = h5py.SoftLink("/values")
    with pytest.raises(LimitError, match=r"would bring .* 8 times as much"):
        load_state(path)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_net_beside_the_blobs(suffix: str, tmp_path: Path) -> None:
    """Packed, sixty thousand empty layers take a few hundred bytes."""
    path, definition = tmp_path / f"x.{suffix}", b"\xa2\x06\x00" * 60_000
    if suffix == "npz":
        np.savez_compressed(path, __definition__=np.frombuffer(definition, np.uint8))
    else:
        header = json.dumps({"__metadata__": {"definition": base64.b64encode(definition).decode()}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(
        LimitError, match=rf"x.{suffix}: the net stored beside the blobs: about 60000 layers would bring"
    ):
        formats.load(path)


def test_values_of_templates() -> None:
    text = 'name: "' + "${X}" * 1000 + '"'
    assert expand(text, {"X": "x" * 100}).text.count("x") == 100_000
    with pytest.raises(LimitError, match=r"<string>: the value of \$\{X\} would bring"):
        expand(text, {"X": "x" * 10_000})


def test_a_shape_of_many_axes() -> None:
    """Their product would be a number of millions of digits."""
    blob = BlobProto(data=[1.0])
    blob.shape.dim.extend([1 << 62] * 1_000_000)
    with pytest.raises(WeightsError, match=r"at most 32 axes\. Received: 1000000"):
        array_of(blob, "x")


def _read(path: Path) -> Any:
    return formats.load(path).layer[0].name


def test_what_is_allowed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **{"ip/0": np.zeros(FREE // 4 + 1, np.float32)})
    with pytest.raises(LimitError):
        _read(path)
    set_max_bytes(FREE + 4)
    assert max_bytes() == FREE + 4
    assert _read(path) == "ip"
    set_max_bytes(0)
    with pytest.raises(LimitError):
        _read(path)
    with pytest.raises(SegcaffeError, match="set_max_bytes takes a number of bytes"):
        set_max_bytes(-1)


def test_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **{"ip/0": np.zeros(FREE // 4 + 1, np.float32)})
    assert main(["weights", "show", str(path)]) == 2
    suggested = capsys.readouterr().err.split("--max-bytes ")[1].split(",")[0]
    assert main(["weights", "show", str(path), "--max-bytes", suggested]) == 0
    assert max_bytes() == 0, "as before"
    assert main(["weights", "show", str(path), "--max-bytes=much"]) == 2
    assert "--max-bytes takes a number of bytes, as 8000000000, 500M or 8G" in capsys.readouterr().err


def test_the_size_of_a_file_counts() -> None:
    assert Budget("x", 10).limit == FREE
    assert Budget("x", FREE).limit == PACKED * FREE
    set_max_bytes(5)
    assert Budget("x", 10).limit == FREE, "the option only ever raises the limit"
    Budget("x", FREE).take(PACKED * FREE, "all")


def test_the_error_is_of_both_kinds() -> None:
    with pytest.raises(WeightsError):
        Budget("x", 1).take(FREE + 1, "y")
    with pytest.raises(DataError, match=r"x: y would bring what is made of the file to 1.05 MB. Its size is 1 bytes"):
        Budget("x", 1).take(FREE + 1, "y")


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("123", 123), ("5k", 5000), ("5K", 5000), ("1M", 10**6), ("8G", 8 * 10**9), ("2t", 2 * 10**12),
     ("", None), ("G", None), ("-1", None), ("1.5G", None), ("1 G", None), ("9" * 30, None), ("1GB", None)],
)  # fmt: skip
def test_amounts(text: str, count: int | None) -> None:
    assert parse_amount(text) == count


def test_amounts_for_people() -> None:
    assert [amount(count) for count in (0, 999, 1000, 12_345_678, 3 * 10**9)] == [
        "0 bytes", "999 bytes", "1 kB", "12.3 MB", "3 GB",
    ]  # fmt: skip
