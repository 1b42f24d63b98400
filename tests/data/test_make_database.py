"""Databases we write: in the original's format, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from segcaffe.data.convert_images import Conversion, make_database
from segcaffe.data.database import Database
from segcaffe.data.database_writer import backend_of, create_database
from segcaffe.data.datum import datum_array, datum_image, parse_datum
from segcaffe.data.files import BadItems
from segcaffe.data.lists import read_list
from segcaffe.errors import DataError
from segcaffe.files.process import place
from segcaffe.proto import caffe_pb2

LMDB, LEVELDB = caffe_pb2.DataParameter.LMDB, caffe_pb2.DataParameter.LEVELDB


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images and ``list.txt``."""
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (6, 5)), ("b.jpg", (6, 5)), ("c d.png", (8, 4))):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    (tmp_path / "list.txt").write_text("a.png 3\nb.jpg 1\nc d.png 0\n")
    return tmp_path


def make(folder: Path, out: str = "db", backend: str = "lmdb", bad: BadItems | None = None, overwrite: bool = False,
         **options: object) -> Path:  # fmt: skip
    path = folder / out
    conversion = Conversion(f"{folder}/", **options)  # type: ignore[arg-type]
    make_database(read_list(str(folder / "list.txt"), "test"), path, conversion, backend, bad, overwrite)
    return path


def items(path: Path) -> list[caffe_pb2.Datum]:
    database = Database(str(path), backend_of(path), "test")
    return [parse_datum(database.item(i, 0), "test") for i in range(database.count())]


def test_keys_and_values_are_the_originals(images: Path) -> None:
    with lmdb.open(str(make(images)), readonly=True, lock=False) as environment, environment.begin() as transaction:
        content = {key.decode(): caffe_pb2.Datum.FromString(value) for key, value in transaction.cursor()}
    assert list(content) == ["00000000_a.png", "00000001_b.jpg", "00000002_c d.png"]
    for (_, datum), (name, label) in zip(content.items(), (("a.png", 3), ("b.jpg", 1), ("c d.png", 0)), strict=True):
        image = cv2.imread(str(images / name))
        assert (datum.channels, datum.height, datum.width, datum.label) == (3, *image.shape[:2], label)
        assert datum.data == image.transpose(2, 0, 1).tobytes()
        assert not datum.encoded


def test_leveldb_holds_the_same(images: Path) -> None:
    ours, theirs = items(make(images)), items(make(images, "level", "leveldb"))
    assert (images / "level" / "CURRENT").exists()
    assert ours == theirs


def test_gray_and_resized(images: Path) -> None:
    for datum, name in zip(
        items(make(images, gray=True, height=4, width=9)), ("a.png", "b.jpg", "c d.png"), strict=True
    ):
        gray = cv2.imread(str(images / name), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(datum_array(datum, "test")[0], cv2.resize(gray, (9, 4)))


def test_encoded_keeps_the_file(images: Path) -> None:
    first, second, _ = items(make(images, encoded=True))
    assert first.encoded
    assert first.data == (images / "a.png").read_bytes()
    assert second.data == (images / "b.jpg").read_bytes()
    assert (first.channels, first.height, first.width) == (3, 6, 5)


def test_encoded_anew_where_the_file_does_not_hold_it(images: Path) -> None:
    datum = items(make(images, encoded=True, encode_type="png", gray=True))[0]
    assert datum.data != (images / "a.png").read_bytes()
    gray = cv2.imread(str(images / "a.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(datum_image(datum, None, "test")[:, :, 0], gray)


def test_more_than_the_first_map(tmp_path: Path) -> None:
    value = np.random.default_rng(0).bytes(3_000_000)
    with create_database(tmp_path / "db", "lmdb", "test") as writer:
        for i in range(40):
            writer.put(f"{i:08d}", value)
    database = Database(str(tmp_path / "db"), LMDB, "test")
    assert database.count() == 40
    assert database.item(39, 0) == value


def test_check_size(images: Path) -> None:
    with pytest.raises(DataError, match=r'list.txt:3.*6 x 5.*"c d.png" 8 x 4'):
        make(images, check_size=True)
    assert not (images / "db").exists()


def test_an_existing_database_stays_unless_told(images: Path) -> None:
    path = make(images)
    with pytest.raises(DataError, match="--overwrite"):
        make(images)
    (images / "list.txt").write_text("a.png 7\n")
    assert len(items(path)) == 3
    assert [datum.label for datum in items(make(images, overwrite=True))] == [7]


def test_a_folder_that_is_no_database_is_never_replaced(images: Path) -> None:
    (images / "db").mkdir()
    with pytest.raises(DataError, match="no database"):
        make(images, overwrite=True)


BROKEN = {
    "JPEG without an image": ("b.jpg", lambda content: content[:100]),
    "truncated JPEG": ("b.jpg", lambda content: content[: len(content) * 9 // 10]),
    "empty file": ("a.png", lambda content: b""),
    "no image": ("a.png", lambda content: b"hello" * 20),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_images_are_named(kind: str, images: Path) -> None:
    path = make(images)
    name, damage = BROKEN[kind]
    (images / name).write_bytes(damage((images / name).read_bytes()))
    with pytest.raises(DataError, match=name):
        make(images, overwrite=True)
    assert len(items(path)) == 3
    bad = BadItems(1)
    make(images, overwrite=True, bad=bad)
    assert len(items(path)) == 2
    assert name in bad.text()


def test_a_missing_image(images: Path) -> None:
    (images / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"list.txt:2.*b\.jpg.*No such file.*--skip-bad"):
        make(images)
    make(images, bad=BadItems(1))
    (images / "a.png").unlink()
    with pytest.raises(DataError, match=r"2 items cannot be used:\n.*a\.png.*\n.*b\.jpg"):
        make(images, bad=BadItems(1), overwrite=True)


def test_all_images_bad(images: Path) -> None:
    (images / "list.txt").write_text("x.png 0\n")
    with pytest.raises(DataError, match="no image of the list"):
        make(images, bad=BadItems(5))
    assert not (images / "db").exists()


LIMITED = """
import resource, sys
from segcaffe.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_full_disk(backend: str, tmp_path: Path) -> None:
    """The largest size of a file stands for the disk's."""
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 255, (100, 100, 3), dtype=np.uint8))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    path = make(tmp_path, backend=backend)
    (tmp_path / "list.txt").write_text("a.png 0\n" * 400)
    command = ["data", "make-db", f"{tmp_path}/", f"{tmp_path}/list.txt", str(path), f"--backend={backend}"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *command, "--overwrite"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot write" in done.stderr
    assert len(items(path)) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "db", "list.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_killed_run_leaves_the_old_database(images: Path) -> None:
    path = make(images)
    (images / "list.txt").write_text("a.png 5\n" * 200_000)
    command = ["data", "make-db", f"{images}/", f"{images}/list.txt", str(path), "--overwrite"]
    process = subprocess.Popen([sys.executable, "-m", "segcaffe.cli.main", *command], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (written := list(images.glob(".db.*.tmp/data.mdb"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert written
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [datum.label for datum in items(path)] == [3, 1, 0]
    (images / "list.txt").write_text("a.png 5\n")
    assert [datum.label for datum in items(make(images, overwrite=True))] == [5]
    assert not list(images.glob(".db.*"))


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_database_that_stepped_aside_for_a_killed_run_is_read(images: Path, backend: str) -> None:
    path = make(images, backend=backend)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path.rename(images / f".db.{place()}-{child.pid}-0123abcd.old")
    assert [datum.label for datum in items(path)] == [3, 1, 0]
