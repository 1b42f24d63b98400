"""Logs, names, and what is kept in JSON: side files of snapshots, records of results, locks, COCO; data sets."""

from __future__ import annotations

import functools
import gzip
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from segcaffe.cli.classify import read_names
from segcaffe.cli.detect import read_windows
from segcaffe.data import importers
from segcaffe.data.coco import import_coco
from segcaffe.data.voc import import_voc
from segcaffe.files.holder import Holder
from segcaffe.layers.loss.softmax_with_loss import _read_weights
from segcaffe.predict.files import Results, class_names
from segcaffe.predict.result_folder import SETTINGS
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from segcaffe.viz.logs import read_log
from segcaffe.viz.training import write_csv
from tests.fuzz import structure
from tests.fuzz.data import _all_files
from tests.fuzz.kinds import Files, Kind, files_of, single, write
from tests.fuzz.mutate import BINARY, TEXT

_LOG = b"""I0809 13:40:05.4 21974 solver.cpp:242] Iteration 0, loss = 2.3
I0809 13:40:05.4 21974 solver.cpp:261]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
I0809 13:40:05.4 21974 solver.cpp:571] Iteration 0 (12.5/s), lr = 0.01
I0809 13:40:06.4 21974 solver.cpp:341] Iteration 10, Testing net (#1)
I0809 13:40:06.4 21974 solver.cpp:409]     Test net output #0: accuracy = .5 (mean IoU)
I0809 13:40:07.4 21974 solver.cpp:242] Iteration 10, loss = 1e-3
"""
_WINDOWS = b'filename,ymin,xmin,ymax,xmax\na.jpg,0,0,10,12.5\n"b, c.jpg",1,2,3,4\n'
_NET = """
layer { name: "data" type: "ImageData" top: "x" top: "t" image_data_param { source: "labelled.txt" batch_size: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
_SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" snapshot_prefix: "s" average_loss: 2 momentum: 0.9'
_JSON = (*TEXT, *(structure.change_json,) * 20)


@functools.cache
def _solver() -> Solver:
    """A solver that has made a snapshot, in a folder that stays."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        names = ("labelled.txt", "image0.png", "image1.png")
        net = {"net.prototxt": _NET.encode(), "solver.prototxt": _SOLVER.encode()}
        write(Path(folder), net | {name: _all_files()[name] for name in names})
        os.chdir(folder)
        try:
            solver = get_solver("solver.prototxt")
            solver.step(2)
            solver.snapshot()
            _SNAPSHOT.update(files_of(Path(folder), "s_iter_2.*"))
        finally:
            os.chdir(before)
    return solver


_SNAPSHOT: Files = {}


def _snapshot() -> list[Files]:
    _solver()
    return [_SNAPSHOT]


def _results() -> list[Files]:
    record = {"class_names": ["a", "b"], "weights": "1a2b", "scale": 0.5, "mean": [1, 2, 3]}
    return [{SETTINGS: json.dumps(record).encode()}]


def _read_results(folder: Path) -> None:
    class_names(folder)
    Results(folder, {"class_names": ["a", "b"], "weights": "1a2b", "scale": 0.5, "mean": [1, 2, 3]})


def _read_lock(folder: Path) -> None:
    descriptor = os.open(folder / "lock", os.O_RDONLY)
    try:
        holder = Holder.read(descriptor)
    finally:
        os.close(descriptor)
    if holder is not None:
        holder.keeps(system_knows=False)
        holder.sentence(folder / "lock")


def _coco() -> list[Files]:
    ring = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0]]
    objects = [
        {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 12.0, "segmentation": ring},
        {"id": 2, "image_id": 7, "category_id": 4, "iscrowd": 1, "area": 9, "segmentation": {"counts": [10, 5, 48],
                                                                                             "size": [7, 9]}},
    ]  # fmt: skip
    images = [{"id": 7, "file_name": "a.jpg", "height": 7, "width": 9}]
    content = json.dumps({"images": images, "annotations": objects, "categories": []}).encode()
    return [{"annotations/instances_val2017.json": content, "val2017/a.jpg": b"x"}]


def _voc() -> list[Files]:
    label = _all_files()["label0.png"]
    lists = {
        f"ImageSets/Segmentation/{split}.txt": f"{name}\n".encode() for split, name in (("train", "a"), ("val", "b"))
    }
    folders = {"JPEGImages": "jpg", "SegmentationClass": "png", "SegmentationClassAug": "png"}
    return [lists | {f"{folder}/{name}.{suffix}": label for name in "ab" for folder, suffix in folders.items()}]


def _mnist() -> list[Files]:
    images = bytes([0, 0, 8, 3]) + np.array([2, 3, 4], ">i4").tobytes() + bytes(24)
    labels = bytes([0, 0, 8, 1]) + np.array([2], ">i4").tobytes() + bytes([1, 2])
    plain = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    return [plain, {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}]


def _folder() -> list[Files]:
    label = _all_files()["label0.png"]
    return [{f"{part}/{name}.png": label for part in ("images", "labels") for name in ("a1", "a2")}]


def _read_each(folder: Path) -> None:
    """The files of a folder of images, and the palette that a damaged label map takes."""
    importers.import_folder(folder / "images", folder / "labels", folder / "out", 1, {1: 2, 2: 255})


def _plot(folder: Path) -> None:
    write_csv({"run": read_log(str(folder / "train.log"))}, folder / "table.csv")


def _import_cifar(folder: Path) -> None:
    importers.import_cifar(folder, folder / "out", "leveldb")


_LISTS = ("*.txt", "*.png")
KINDS = {
    "training logs": Kind(single("train.log", lambda: [_LOG]), _plot, TEXT),
    "names of classes": Kind(
        single("names.txt", lambda: [b"n01 cat\nn02 dog, hound\n"]),
        lambda folder: read_names(str(folder / "names.txt")), TEXT,
    ),
    "windows, csv": Kind(single("w.csv", lambda: [_WINDOWS]), lambda folder: read_windows(folder / "w.csv"), TEXT),
    "weights of classes": Kind(
        single("w", lambda: [b"1 2.5 0\n"]), lambda folder: _read_weights("layer", str(folder / "w"), 3), TEXT
    ),
    "side file of a snapshot": Kind(
        _snapshot, lambda folder: _solver().restore(str(folder / "s_iter_2.solverstate")), _JSON, ("*.json",)
    ),
    "record of results": Kind(_results, _read_results, _JSON),
    "lock": Kind(lambda: [{"lock": Holder.this_process("example").encode()}], _read_lock, _JSON),
    "COCO": Kind(_coco, lambda folder: import_coco(folder, folder / "out"), _JSON, ("*.json",)),
    "VOC": Kind(_voc, lambda folder: import_voc(folder, folder / "out"), (*TEXT, *BINARY), _LISTS),
    "MNIST": Kind(
        _mnist, lambda folder: importers.import_mnist(folder, folder / "out", "leveldb"),
        (*BINARY, *(structure.change_packed,) * 8),
    ),
    "CIFAR": Kind(
        lambda: [{"test_batch.bin": bytes(3073 * 2)}, {"train.bin": bytes(3074)}], _import_cifar, BINARY
    ),
    "folder of label maps": Kind(_folder, _read_each, (*BINARY, *(structure.change_png,) * 10), ("labels/*",)),
}  # fmt: skip
