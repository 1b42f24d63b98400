"""PASCAL VOC in miniature, with and without SBD's labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from segcaffe.cli.main import main
from segcaffe.data.label_files import read_labels
from segcaffe.data.png import write_label
from segcaffe.data.voc import import_voc, read_sbd
from segcaffe.errors import DataError
from tests.data.miniatures import make_sbd, make_voc


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return make_voc(tmp_path / "VOC2012")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_lists_of_the_splits(voc: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    written = import_voc(voc, out)
    splits = ("test", "train", "trainval", "val")
    assert [path.name for path in written] == [f"voc_{split}{part}.txt" for split in splits for part in ("", "_id")]
    assert lines(out / "voc_train.txt") == [
        "/JPEGImages/2007_2.jpg /SegmentationClass/2007_2.png",
        "/JPEGImages/2007_1.jpg /SegmentationClass/2007_1.png",
    ]
    assert lines(out / "voc_train_id.txt") == ["2007_2", "2007_1"]
    assert lines(out / "voc_test.txt") == ["/JPEGImages/2008_3.jpg"]


def test_labels_of_sbd(voc: Path, tmp_path: Path) -> None:
    """They serve images that VOC has no label maps of, never those kept for validation."""
    out = tmp_path / "lists"
    sbd = make_sbd(tmp_path / "benchmark_RELEASE", ["2007_2", "2007_9", "2008_5", "2008_4"])
    import_voc(voc, out, sbd=sbd)
    assert lines(out / "voc_train_aug_id.txt") == ["2007_2", "2007_1", "2008_4", "2008_5"]
    assert lines(out / "voc_trainval_aug_id.txt") == ["2007_2", "2007_1", "2008_4", "2008_5", "2007_9"]
    assert lines(out / "voc_train_aug.txt")[0::2] == [
        "/JPEGImages/2007_2.jpg /SegmentationClass/2007_2.png",
        "/JPEGImages/2008_4.jpg /SegmentationClassAug/2008_4.png",
    ]
    label = read_labels(voc / "SegmentationClassAug/2008_4.png", "test")
    np.testing.assert_array_equal(label, read_sbd(sbd / "dataset/cls/2008_4.mat"))


def test_a_folder_of_all_labels_is_taken_as_it_is(voc: Path, tmp_path: Path) -> None:
    for name in ("2007_1", "2007_9", "2008_5"):
        write_label(voc / "SegmentationClassAug" / f"{name}.png", np.ones((40, 50)), "test")
    import_voc(voc, tmp_path / "lists")
    assert lines(tmp_path / "lists/voc_train_aug_id.txt") == ["2007_2", "2007_1", "2008_5"]


def test_without_these_labels_it_says_what_can_be_done(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "import-voc", str(voc), str(tmp_path / "lists")]) == 0
    assert "--sbd FOLDER" in capsys.readouterr().err


def test_a_missing_label(voc: Path, tmp_path: Path) -> None:
    (voc / "SegmentationClass" / "2007_1.png").unlink()
    with pytest.raises(DataError, match=r"2007_1.jpg.*no label map in SegmentationClass"):
        import_voc(voc, tmp_path / "lists")


def test_an_image_of_sbd_that_voc_lacks(voc: Path, tmp_path: Path) -> None:
    sbd = make_sbd(tmp_path / "sbd", ["2011_1"])
    with pytest.raises(DataError, match=r"JPEGImages/2011_1.jpg\" does not exist"):
        import_voc(voc, tmp_path / "lists", sbd=sbd)


@pytest.mark.parametrize(("folder", "message"), [("VOC2012/JPEGImages", "dataset/cls"), ("nowhere", "dataset/cls")])
def test_a_folder_that_is_not_sbd(voc: Path, tmp_path: Path, folder: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_voc(voc, tmp_path / "lists", sbd=tmp_path / folder)


def test_a_folder_that_is_not_voc(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ImageSets/Segmentation"):
        import_voc(tmp_path, tmp_path)


def test_files_that_are_not_of_sbd(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    with pytest.raises(DataError, match="cannot read"):
        read_sbd(path)
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((2, 2), np.uint8))
    path.write_bytes((tmp_path / "x.png").read_bytes())
    with pytest.raises(DataError, match="not a MATLAB file"):
        read_sbd(path)
    for content in ({"GTinst": np.ones((2, 2))}, {"GTcls": {"Boundaries": np.ones(3)}}, {"GTcls": np.ones((2, 2))}):
        savemat(path, content)
        with pytest.raises(DataError, match="struct GTcls"):
            read_sbd(path)
