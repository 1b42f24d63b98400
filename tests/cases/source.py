"""Cases of the layers that bring values in, and of those that write them to files."""

from __future__ import annotations

import atexit
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import lmdb
import numpy as np

from segcaffe.blob import Blob
from segcaffe.layers.base import Layer
from segcaffe.layers.source.memory_data import MemoryData
from segcaffe.proto import caffe_pb2
from segcaffe.testing import LayerCase

FOLDER = Path(tempfile.mkdtemp(prefix="segcaffe-cases-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
COUNT = 2
"""Items of every source, and of every batch: each forward gives the same batch."""


def write_image(path: Path, height: int, width: int, channels: int, seed: int) -> None:
    """A random image; label maps (one channel) have the labels 0 to 4."""
    rng = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    assert cv2.imwrite(str(path), rng.integers(0, 256 if channels > 1 else 5, shape, np.uint8))


def write_files(folder: Path) -> None:
    """Small data of every kind in a folder."""
    for i in range(COUNT):
        write_image(folder / f"image{i}.png", 7, 9, 3, i)
        write_image(folder / f"label{i}.png", 7, 9, 1, i)
        flow = np.random.default_rng(i).standard_normal((4, 5, 2)).astype("<f4")
        (folder / f"flow{i}.flo").write_bytes(struct.pack("<fii", 202021.25, 5, 4) + flow.tobytes())
    lists = {
        "labelled": "image{0}.png {0}",
        "two": "image{0}.png label{0}.png",
        "four": "image{0}.png image{0}.png label{0}.png label{0}.png",
        "flow": "flow{0}.flo",
        "ids": "id{0}",
    }
    for name, line in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{line.format(i)}\n" for i in range(COUNT)))
    (folder / "windows.txt").write_text(f"# 0\n{folder}/image0.png\n3\n7\n9\n2\n3 0.9 1 1 6 5\n0 0.1 2 0 5 4\n")
    (folder / "h5.txt").write_text(f"{folder}/rows.h5\n")
    with h5py.File(folder / "rows.h5", "w") as file:
        file["top0"] = np.random.default_rng(0).standard_normal((COUNT, 3, 2)).astype(np.float32)
        file["top1"] = np.arange(COUNT, dtype=np.float32)
    write_lmdb(folder / "lmdb")
    write_annotated(folder / "annotated")
    write_boxes(folder / "boxes")
    _write_mat(folder)


def write_lmdb(folder: Path) -> None:
    """Two 8-bit images as Datum messages."""
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for i in range(COUNT):
            values = np.random.default_rng(i).integers(0, 256, (3, 5, 6), np.uint8)
            datum = caffe_pb2.Datum(channels=3, height=5, width=6, data=values.tobytes(), label=i)
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())


def write_annotated(folder: Path) -> None:
    """Two 8-bit images as AnnotatedDatum messages, with one box and two."""
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for i in range(COUNT):
            message = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
            values = np.random.default_rng(i).integers(0, 256, (3, 8, 10), np.uint8)
            message.datum.CopyFrom(caffe_pb2.Datum(channels=3, height=8, width=10, data=values.tobytes()))
            group = message.annotation_group.add(group_label=i + 1)
            for k in range(i + 1):
                box = caffe_pb2.NormalizedBBox(xmin=0.1, ymin=0.2, xmax=0.6 + k / 10, ymax=0.9, difficult=k == 1)
                group.annotation.add(instance_id=k).bbox.CopyFrom(box)
            transaction.put(f"{i:08d}".encode(), message.SerializeToString())


def write_boxes(folder: Path) -> None:
    """An LMDB of encoded images whose floats are two boxes, as YOLO's Caffe has them."""
    rng = np.random.default_rng(3)
    with lmdb.open(str(folder), map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
        for i in range(COUNT):
            image = cv2.imencode(".png", rng.integers(0, 256, (10, 12, 3), np.uint8))[1].tobytes()
            boxes = [i, 0, 0.5, 0.4, 0.3, 0.2, 1, 1, 0.6, 0.7, 0.2, 0.2]
            datum = caffe_pb2.Datum(encoded=True, data=image, float_data=boxes)
            transaction.put(b"%d" % i, datum.SerializeToString())


def _write_mat(folder: Path) -> None:
    from segcaffe.data.mat import write_mat

    for i in range(COUNT):
        values = np.random.default_rng(i).standard_normal((1, 3, 4, 5)).astype(np.float32)
        write_mat(folder / f"id{i}_blob_0.mat", values, "case")


@dataclass(frozen=True)
class MemoryCase(LayerCase):
    """A MemoryData that has its arrays."""

    def build(
        self, dtype: Any = np.float32, inputs: list[np.ndarray[Any, Any]] | None = None
    ) -> tuple[Layer, list[Blob], list[Blob]]:
        layer, bottom, top = super().build(dtype, inputs)
        assert isinstance(layer, MemoryData)
        layer.set_input_arrays(np.arange(48.0).reshape(2, 2, 3, 4), np.arange(2))
        return layer, bottom, top


def _unit(shape: tuple[int, ...]) -> Any:
    return lambda rng: rng.random(shape)


def _list(name: str, more: str = "") -> str:
    return f'image_data_param {{ source: "{FOLDER}/{name}.txt" root_folder: "{FOLDER}/" batch_size: {COUNT} {more} }}'


def _dense(more: str = "") -> str:
    return _list("two", more).replace("image_data_param", "dense_image_data_param")


write_files(FOLDER)
_CROP = "transform_param { crop_size: 8 mean_value: 100 scale: 0.5 }"
_DATABASE = f'data_param {{ source: "{FOLDER}/lmdb" backend: LMDB batch_size: {COUNT} }}'
_ANNOTATED = _DATABASE.replace("/lmdb", "/annotated")
_BOXES = _DATABASE.replace("/lmdb", "/boxes")
_RANDOM = "transform_param { crop_size: 4 mirror: true }"
_MATS = f'mat_read_param {{ source: "{FOLDER}/ids.txt" prefix: "{FOLDER}/" batch_size: {COUNT} }}'
_WINDOWS = f'window_data_param {{ source: "{FOLDER}/windows.txt" batch_size: 2 fg_fraction: 0.5 context_pad: 1 }}'

CASES = [
    LayerCase("Input", "input_param { shape { dim: 2 dim: 3 } }", ()),
    LayerCase("DummyData", "dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 0.5 } }", ()),
    LayerCase(
        "DummyData",
        'dummy_data_param { num: 2 channels: 2 height: 3 width: 4 data_filler { type: "xy" } }',
        (),
        suffix="xy",
    ),
    LayerCase(
        "DummyData",
        'dummy_data_param { shape { dim: 2 } shape { dim: 3 } data_filler { type: "gaussian" } }',
        (),
        2,
        suffix="gaussian",
        deterministic=False,
    ),
    LayerCase("RandVec", "rand_vec_param { batch_size: 2 dim: 3 lower: -1 }", (), deterministic=False),
    LayerCase("ImageData", f"{_list('labelled')} {_CROP}", (), 2),
    LayerCase("TwoImageData", f"{_list('two')} {_CROP}", (), 2),
    LayerCase("FourImageData", f"{_list('four')} {_CROP}", (), 2),
    LayerCase("ImageSegData", f"{_list('two', 'label_type: PIXEL')} {_CROP}", (), 3),
    LayerCase("ImageSegData", f"{_list('labelled')} {_CROP}", (), 2, suffix="image_label"),
    LayerCase("DenseImageData", _dense(), (), 2),
    LayerCase("DenseImageData", _dense("new_height: 8 new_width: 10 label_divide_factor: 2"), (), 2, suffix="divided"),
    LayerCase(
        "DenseImageData",
        _dense("crop_height: 4 crop_width: 5 mirror: true"),
        (),
        2,
        suffix="random",
        deterministic=False,
    ),
    LayerCase("FloData", _list("flow"), ()),
    LayerCase("Data", _DATABASE, (), 2),
    LayerCase(
        "Data",
        f"{_DATABASE} transform_param {{ crop_size: 4 mirror: true }}",
        (),
        1,
        "TRAIN",
        "random",
        deterministic=False,
    ),
    LayerCase("AnnotatedData", _ANNOTATED, (), 2),
    LayerCase("BoxData", _BOXES, (), 2),
    LayerCase(
        "BoxData",
        _BOXES.replace("{", "{ side: 9 side: 13", 1),
        (),
        3,
        "TRAIN",
        "parts",
        deterministic=False,
    ),
    LayerCase(
        "AnnotatedData",
        f"{_ANNOTATED} transform_param {{ resize_param {{ height: 6 width: 9 }} mirror: true mean_value: 100 }}"
        "annotated_data_param { batch_sampler { sampler { min_scale: 0.5 } } }",
        (),
        2,
        "TRAIN",
        "sampled",
        deterministic=False,
    ),
    LayerCase("HDF5Data", f'hdf5_data_param {{ source: "{FOLDER}/h5.txt" batch_size: {COUNT} }}', (), 2),
    LayerCase("WindowData", f"{_WINDOWS} transform_param {{ crop_size: 6 mean_value: 100 }}", (), 2),
    LayerCase(
        "MatRead", f'mat_read_param {{ source: "{FOLDER}/ids.txt" prefix: "{FOLDER}/" batch_size: {COUNT} }}', ()
    ),
    MemoryCase("MemoryData", "memory_data_param { batch_size: 2 channels: 2 height: 3 width: 4 }", (), 2),
    LayerCase(
        "Augmentation",
        "aug_param { num_transformations: 6 }",
        (_unit((2, 3, 12, 10)), _unit((2, 3, 12, 10)), (2, 2, 12, 10)),
        4,
        deterministic=False,
        batched=False,
    ),
    LayerCase("MatWrite", f'mat_write_param {{ prefix: "{FOLDER}/out/" }}', ((2, 3, 4, 5), (2, 3)), 0),
    LayerCase("HDF5Output", f'hdf5_output_param {{ file_name: "{FOLDER}/out.h5" }}', ((2, 3, 4, 5), (2,)), 0),
]
