"""Lists, images, databases and arrays, as data layers read them: a small net each, run on the damaged files."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segcaffe.data.database_writer import create_database
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TRAIN, Datum, NetParameter
from segcaffe.proto.text import parse
from tests.cases.source import write_files
from tests.fuzz import structure
from tests.fuzz.kinds import Files, Kind, Mutation, files_of
from tests.fuzz.mutate import BINARY, TEXT

_IMAGES = (
    'image_data_param {{ source: "{0}.txt" batch_size: 2 {1} }} transform_param {{ crop_size: 5 mean_value: 100 }}'
)
_DAMAGES = (*TEXT, *BINARY, *(structure.change_png,) * 10)
_MESSAGES = (*BINARY, *(structure.change_message,) * 6)


@functools.cache
def _all_files() -> Files:
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        files = files_of(Path(folder), "*")
    # What names files of the folder does so relative to it.
    return {
        name: content.replace(f"{folder}/".encode(), b"") if name.endswith(".txt") else content
        for name, content in files.items()
    }


def _files(*names: str) -> Files:
    return {name: _all_files()[name] for name in names}


def _layer(
    kind: str,
    tops: int,
    options: str,
    *names: str,
    damages: Sequence[Mutation] = _DAMAGES,
) -> Kind:
    """A data layer over files, the first of which is a list."""
    text = f'layer {{ name: "data" type: "{kind}" {options} }}'
    net = parse(text, NetParameter(), kind)
    net.layer[0].top.extend(f"top{i}" for i in range(tops))

    def run(folder: Path) -> None:
        built = Net(net, phase=TRAIN)
        for layer in built.layer_list:
            try:
                layer.forward([], built.top_blobs[0])
            finally:
                layer.close()  # type: ignore[attr-defined]

    return Kind(lambda: [_files(*names)], run, damages, names[:1] if len(names) == 1 else ("*.txt", "*"))


def _database(backend: str) -> list[Files]:
    """Databases of plain and of encoded images."""
    found = []
    for encoded in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            with create_database(Path(folder, "db"), backend, "example") as writer:
                for i in range(5):
                    values = np.random.default_rng(i).integers(0, 256, (3, 5, 6), np.uint8)
                    plain = Datum(channels=3, height=5, width=6, data=values.tobytes(), label=i)
                    packed = Datum(encoded=True, data=_all_files()["image0.png"], label=i)
                    writer.put(f"{i:08d}", (packed if encoded else plain).SerializeToString())
            files = files_of(Path(folder), "*")
        found.append({name: content for name, content in files.items() if "lock" not in name.lower()})
    return found


def _read_database(backend: str) -> Kind:
    options = f'data_param {{ source: "db" backend: {backend.upper()} batch_size: 7 }}'
    layer = _layer("Data", 2, options, "labelled.txt")
    return Kind(lambda: _database(backend), layer.read, BINARY, ("*",))


def _datums() -> list[Files]:
    """An LMDB whose first value is written in the place of the damaged file."""
    values = np.arange(90, dtype=np.uint8)
    floats = Datum(channels=1, height=2, width=3, label=-1, float_data=range(6))
    return [
        {"datum": datum.SerializeToString()}
        for datum in (Datum(channels=3, height=5, width=6, data=values.tobytes(), label=3), floats,
                      Datum(encoded=True, data=_all_files()["image0.png"], label=2))
    ]  # fmt: skip


def _read_datum(folder: Path) -> None:
    with create_database(folder / "db", "lmdb", "example", overwrite=True) as writer:
        writer.put("0", (folder / "datum").read_bytes())
    _LMDB.read(folder)


_LMDB = _read_database("lmdb")
KINDS = {
    "ImageData": _layer(
        "ImageData", 2, _IMAGES.format("labelled", "shuffle: true"), "labelled.txt", "image0.png", "image1.png"
    ),
    "ImageSegData": _layer(
        "ImageSegData", 3, _IMAGES.format("two", "label_type: PIXEL"), "two.txt", "image0.png", "image1.png",
        "label0.png", "label1.png",
    ),
    "TwoImageData": _layer(
        "TwoImageData", 2, _IMAGES.format("two", ""), "two.txt", "image0.png", "image1.png", "label0.png", "label1.png"
    ),
    "WindowData": _layer(
        "WindowData", 2, 'window_data_param { source: "windows.txt" batch_size: 2 fg_fraction: 0.5 context_pad: 1 } '
        "transform_param { crop_size: 6 mean_value: 100 }", "windows.txt", "image0.png",
    ),
    "FloData": _layer("FloData", 1, 'image_data_param { source: "flow.txt" batch_size: 2 }',
                      "flow.txt", "flow0.flo", "flow1.flo"),
    "MatRead": _layer(
        "MatRead", 1, 'mat_read_param { source: "ids.txt" batch_size: 2 }', "ids.txt", "id0_blob_0.mat",
        "id1_blob_0.mat", damages=(*TEXT, *BINARY, *(structure.change_mat,) * 10),
    ),
    "HDF5Data": _layer(
        "HDF5Data", 2, 'hdf5_data_param { source: "h5.txt" batch_size: 3 shuffle: true }', "h5.txt", "rows.h5",
        damages=(*TEXT, *BINARY, *(structure.change_hdf5,) * 20),
    ),
    "LMDB": _LMDB,
    "LevelDB": _read_database("leveldb"),
    "Datum": Kind(_datums, _read_datum, _MESSAGES, ("datum",)),
}  # fmt: skip
