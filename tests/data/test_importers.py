"""Well-known data sets in miniature."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data import importers
from segcaffe.data.database import Database
from segcaffe.data.database_writer import backend_of
from segcaffe.data.datum import datum_array, parse_datum
from segcaffe.data.label_files import read_labels
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2


def datums(path: Path) -> list[caffe_pb2.Datum]:
    database = Database(str(path), backend_of(path), "test")
    return [parse_datum(database.item(i, 0), "test") for i in range(database.count())]


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 5, 3), value, np.uint8))


def test_cityscapes(tmp_path: Path) -> None:
    stem = "aachen/aachen_000000_000019"
    picture(tmp_path / f"leftImg8bit/train/{stem}_leftImg8bit.png")
    picture(tmp_path / "leftImg8bit/test/berlin/berlin_000000_000000_leftImg8bit.png")
    ids = np.array([[7, 8, 33, 0], [26, 4, 11, 21]], np.uint8)
    (tmp_path / "gtFine/train/aachen").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / f"gtFine/train/{stem}_gtFine_labelIds.png"), ids)
    importers.import_cityscapes(tmp_path, tmp_path / "lists")
    line = (tmp_path / "lists/train.txt").read_text()
    assert line == f"/leftImg8bit/train/{stem}_leftImg8bit.png /gtFine/train/{stem}_gtFine_labelTrainIds.png\n"
    assert (tmp_path / "lists/train_id.txt").read_text() == "aachen_000000_000019\n"
    label = cv2.imread(f"{tmp_path}{line.split()[1]}", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(label, [[0, 1, 18, 255], [13, 255, 2, 8]])
    assert (tmp_path / "lists/test.txt").read_text().split() == [
        "/leftImg8bit/test/berlin/berlin_000000_000000_leftImg8bit.png"
    ]


def test_folders_of_ones_own(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        picture(tmp_path / "images" / f"{i}.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "labels" / f"{i}.png"), np.array([[0, 255], [255, 7]], np.uint8))
    out = tmp_path / "lists"
    importers.import_folder(tmp_path / "images", tmp_path / "labels", out, test=1, values={255: 1})
    assert (out / "train_id.txt").read_text() == "1\n2\n"
    assert (out / "test_id.txt").read_text() == "10\n"
    image, label = (out / "test.txt").read_text().split()
    assert image == str(tmp_path / "images/10.png")
    np.testing.assert_array_equal(read_labels(Path(label), "test"), [[0, 1], [1, 7]])
    (tmp_path / "labels" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png.*no label map"):
        importers.import_folder(tmp_path / "images", tmp_path / "labels", out)


def idx(values: np.ndarray) -> bytes:  # type: ignore[type-arg]
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_mnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (5, 4, 3), dtype=np.uint8), rng.integers(0, 9, 5, dtype=np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    assert importers.import_mnist(tmp_path, tmp_path, "lmdb") == {tmp_path / "mnist_test_lmdb": 5}
    found = datums(tmp_path / "mnist_test_lmdb")
    np.testing.assert_array_equal([datum_array(datum, "test")[0] for datum in found], images)
    assert [datum.label for datum in found] == labels.tolist()


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:10], lambda b: b"\0\0\x09" + b[3:], lambda b: b[:3]])
def test_damaged_idx_files(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "images"
    path.write_bytes(damage(idx(np.zeros((2, 3, 3), np.uint8))))
    with pytest.raises(DataError, match="images"):
        importers.read_idx(path, 3)
    path.write_bytes(gzip.compress(idx(np.zeros((2, 3, 3), np.uint8)))[:-12])
    with pytest.raises(DataError, match="damaged gzip"):
        importers.read_idx(path, 3)


def test_cifar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = rng.integers(0, 10, (4, 3073), dtype=np.uint8)
    for i in (1, 2):
        (tmp_path / f"data_batch_{i}.bin").write_bytes(records[2 * i - 2 : 2 * i].tobytes())
    (tmp_path / "test_batch.bin").write_bytes(records[:1].tobytes())
    fine = rng.integers(0, 100, (2, 3074), dtype=np.uint8)
    (tmp_path / "train.bin").write_bytes(fine.tobytes())
    written = importers.import_cifar(tmp_path, tmp_path, "lmdb")
    assert {path.name: count for path, count in written.items()} == {
        "cifar10_train_lmdb": 4,
        "cifar10_test_lmdb": 1,
        "cifar100_train_lmdb": 2,
    }
    train = datums(tmp_path / "cifar10_train_lmdb")
    assert [datum.label for datum in train] == records[:, 0].tolist()
    np.testing.assert_array_equal(datum_array(train[3], "test"), records[3, 1:].reshape(3, 32, 32))
    assert [datum.label for datum in datums(tmp_path / "cifar100_train_lmdb")] == fine[:, 1].tolist()
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match="multiple of 3073"):
        importers.import_cifar(tmp_path, tmp_path, "lmdb", overwrite=True)
    assert len(datums(tmp_path / "cifar10_test_lmdb")) == 1
