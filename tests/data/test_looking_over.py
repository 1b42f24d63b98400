"""Means, checks and contact sheets of lists and databases."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.check import Rules, check_list
from segcaffe.data.contents import Items
from segcaffe.data.convert_images import Conversion, make_database
from segcaffe.data.database_writer import create_database
from segcaffe.data.files import BadItems
from segcaffe.data.lists import read_list
from segcaffe.data.mean import mean_of
from segcaffe.data.png import write_label
from segcaffe.data.transformer import read_mean
from segcaffe.errors import DataError
from segcaffe.viz.contact_sheet import contact_sheet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 255, (6, 5, 3), dtype=np.uint8))
        write_label(tmp_path / f"{name}_label.png", rng.integers(0, 3, (6, 5)), "test")
    (tmp_path / "classes.txt").write_text("a.png 3\nb.png 1\nc.png 1\n")
    (tmp_path / "maps.txt").write_text("a.png a_label.png\nb.png b_label.png\nc.png c_label.png\n")
    return tmp_path


def database(folder: Path, **options: object) -> str:
    conversion = Conversion(f"{folder}/", **options)  # type: ignore[arg-type]
    make_database(read_list(f"{folder}/classes.txt", "test"), folder / "db", conversion)
    return str(folder / "db")


def images(folder: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([cv2.imread(str(folder / f"{name}.png")) for name in "abc"]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", ["raw", "encoded", "list"])
def test_mean(kind: str, folder: Path) -> None:
    source = f"{folder}/maps.txt" if kind == "list" else database(folder, encoded=kind == "encoded")
    mean = mean_of(Items(source, "mean", f"{folder}/"), BadItems())
    mean.write(folder / "mean.binaryproto")
    expected = images(folder).mean(axis=0)
    np.testing.assert_allclose(read_mean(str(folder / "mean.binaryproto"), "test"), expected, rtol=1e-6)
    np.testing.assert_allclose(mean.channels, expected.mean(axis=(1, 2)), rtol=1e-6)


def test_our_mean_file_is_laid_out_as_the_originals(folder: Path, shared: Path) -> None:
    from segcaffe.proto import caffe_pb2

    mean_of(Items(database(folder), "mean"), BadItems()).write(folder / "mean.binaryproto")
    ours = caffe_pb2.BlobProto.FromString((folder / "mean.binaryproto").read_bytes())
    theirs = caffe_pb2.BlobProto.FromString((shared / "models/hdf5_cifar10/mean.binaryproto").read_bytes())
    assert [field.name for field, _ in ours.ListFields()] == [field.name for field, _ in theirs.ListFields()]
    assert (ours.num, theirs.num) == (1, 1)


def test_mean_of_different_sizes(folder: Path) -> None:
    cv2.imwrite(str(folder / "b.png"), np.zeros((4, 4, 3), np.uint8))
    mean = mean_of(Items(f"{folder}/maps.txt", "mean", f"{folder}/"), BadItems())
    assert mean.channels[0] == pytest.approx(
        sum(cv2.imread(str(folder / f"{n}.png"))[:, :, 0].sum() for n in "abc") / (30 + 16 + 30)
    )
    with pytest.raises(DataError, match="6 x 5 and 4 x 4"):
        mean.image()


def test_mean_with_bad_items(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.png"):
        mean_of(Items(f"{folder}/maps.txt", "mean", f"{folder}/"), BadItems())
    bad = BadItems(1)
    assert mean_of(Items(f"{folder}/maps.txt", "mean", f"{folder}/"), bad).count == 2
    assert "the file is empty" in bad.text()


def test_check_finds_nothing_wrong(folder: Path) -> None:
    report = check_list(read_list(f"{folder}/maps.txt", "check"), f"{folder}/", Rules(classes=3, size=(6, 5)))
    assert report.problems == []
    assert sum(report.pixels.values()) == 90
    report = check_list(read_list(f"{folder}/classes.txt", "check"), f"{folder}/")
    assert dict(report.pixels) == {1: 2, 3: 1}
    assert "sizes: 6 x 5 (3)" in report.text()


def test_check_finds_everything(folder: Path) -> None:
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "b_label.png").unlink()
    write_label(folder / "c_label.png", np.full((6, 4), 9), "test")
    report = check_list(read_list(f"{folder}/maps.txt", "check"), f"{folder}/", Rules(classes=3, size=(6, 6)))
    text = report.text()
    assert "maps.txt:1: cannot read" in text
    assert "b_label.png" in text
    assert 'maps.txt:3: "c.png" is 6 x 5, its label map "c_label.png" 6 x 4' in text
    assert "maps.txt:3: labels outside 0..2: 9" in text
    assert "maps.txt:3: the image is 6 x 5 where 6 x 6 is asked for" in text
    assert len(report.problems) == 5


def test_check_tells_of_label_maps_in_jpeg(folder: Path) -> None:
    cv2.imwrite(str(folder / "a.jpg"), np.zeros((6, 5), np.uint8))
    (folder / "jpeg.txt").write_text("a.png a.jpg\n")
    report = check_list(read_list(f"{folder}/jpeg.txt", "check"), f"{folder}/")
    assert report.problems == [
        f'{folder}/jpeg.txt:1: the label map "a.jpg" is a JPEG, which does not keep numbers as they were.'
    ]


def test_contact_sheet_shows_the_pictures(folder: Path) -> None:
    for name, value in (("a", 40), ("b", 120), ("c", 200)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((6, 5, 3), value, np.uint8))
    sheet = contact_sheet(Items(f"{folder}/classes.txt", "show", f"{folder}/").arrays(), columns=2)
    for value in (40, 120, 200):
        assert (sheet == value).all(axis=2).sum() >= 100 * 100
    labels = contact_sheet(Items(f"{folder}/maps.txt", "show", f"{folder}/", labels=True).arrays(1, 1))
    assert (labels == (0, 0, 128)).all(axis=2).any(), "class 1 is red"
    (folder / "a.png").unlink()
    assert contact_sheet(Items(f"{folder}/maps.txt", "show", f"{folder}/").arrays()).size
    with pytest.raises(DataError, match="no items"):
        contact_sheet(Items(f"{folder}/maps.txt", "show", f"{folder}/").arrays(5, 2))


def test_a_database_cannot_be_read_in_gray(folder: Path) -> None:
    with create_database(folder / "db", "lmdb", "test") as writer:
        writer.put("a", b"")
    with pytest.raises(DataError, match=r'--gray is for lists; ".*db" is a database'):
        Items(f"{folder}/db", "mean", color=False)


def test_a_folder_that_is_no_database(folder: Path) -> None:
    with pytest.raises(DataError, match="holds no database"):
        Items(str(folder), "show")
