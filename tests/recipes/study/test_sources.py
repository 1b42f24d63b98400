"""Which data sets are found, and what becomes of their labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.label_files import read_labels
from segcaffe.errors import DataError
from segcaffe.recipes.study.images import Sample, prepare, renumbering
from segcaffe.recipes.study.sources import Source, find_source


def _pair(folder: Path, image: str, label: str, values: tuple[int, ...] = (0, 1)) -> tuple[Path, Path]:
    """An image of 20 x 30 pixels, and its label map: stripes of the values."""
    rng = np.random.default_rng(len(image))
    stripes = np.repeat(np.resize(np.repeat(np.array(values, np.uint8), 7), 30)[None], 20, 0)
    files = folder / image, folder / label
    for file, content in zip(files, (rng.integers(0, 256, (20, 30, 3), np.uint8), stripes), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), content)
    return files


def _folders(root: Path) -> list[tuple[Path, Path]]:
    return [_pair(root, f"image/{i}.png", f"label/{i}.png", (0, 255)) for i in (1, 2, 10)]


def _voc(root: Path) -> list[tuple[Path, Path]]:
    _pair(root, "JPEGImages/unlabelled.png", "elsewhere.png")
    return [_pair(root, f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png") for name in ("a", "b")]


def _camvid(root: Path) -> list[tuple[Path, Path]]:
    pairs = [_pair(root, f"{part}/x.png", f"{part}annot/x.png") for part in ("test", "train")]
    for part in ("test", "train"):
        (root / f"{part}.txt").write_text(f"/{part}/x.png /{part}annot/x.png\n")
    (root / "names.txt").write_text("sky\nroad surface\n")
    return pairs


def _cityscapes(root: Path) -> list[tuple[Path, Path]]:
    pairs = []
    for part in ("train", "val", "test"):
        stem = f"{part}/ulm/ulm_0"
        pairs.append(_pair(root, f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelIds.png", (7, 3)))
    return pairs[:2]


@pytest.mark.parametrize("make", [_folders, _voc, _camvid, _cityscapes])
def test_pairs_are_found(make: Callable[[Path], list[tuple[Path, Path]]], tmp_path: Path) -> None:
    assert make(tmp_path) == find_source(tmp_path).pairs


def test_other_folders_are_told_what_to_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'has no images with label maps\. It must hold lists of "image label"'):
        find_source(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        find_source(tmp_path / "nowhere")


def test_cityscapes_has_its_training_labels(tmp_path: Path) -> None:
    _cityscapes(tmp_path)
    source = find_source(tmp_path)
    table = renumbering([np.array([7, 11, 26, 3])], source, ())
    assert table[[7, 11, 26, 3]].tolist() == [0, 1, 2, 255]


@pytest.mark.parametrize(
    ("met", "ignored", "expected"),
    [
        ((0, 255), (), (0, 1)),
        ((0, 1, 255), (), (0, 1, 255)),
        ((0, 4, 11), (11,), (0, 1, 255)),
        ((3, 9, 255), (), (0, 1, 255)),
    ],
)
def test_labels_are_numbered_anew(met: tuple[int, ...], ignored: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert tuple(renumbering([np.array(met)], Source([]), ignored)[list(met)]) == expected


def test_one_class_is_too_few() -> None:
    with pytest.raises(DataError, match="two classes at least"):
        renumbering([np.array([0, 255])], Source([]), (255,))


def test_seeds_divide_a_data_set_differently(tmp_path: Path) -> None:
    pairs = [_pair(tmp_path, f"images/{i}.png", f"labels/{i}.png", (0, 1, 7, 255)) for i in range(8)]
    sets = [prepare(tmp_path / str(seed), seed, Sample(size=15), Source(pairs)) for seed in (1, 2)]
    found = [[path.name for path, _ in one.test_pairs()] for one in sets]
    assert found[0] != found[1]
    assert all(len(names) == 2 for names in found)
    for one in sets:
        names = (one.list_of("train").read_text() + one.list_of("test").read_text()).split()
        assert len(set(names)) == 16
        assert (one.classes, one.height, one.width) == (3, 10, 15)
        assert one.described() == (
            "Each seed has 6 images for training and 2 for testing, of 3 classes (labels 0, 1, 7 of the data set)."
        )
        assert set(np.unique(read_labels(one.test_pairs()[0][1], "test"))) <= {0, 1, 2, 255}


def test_a_data_set_needs_some_images(tmp_path: Path) -> None:
    pairs = [_pair(tmp_path, f"images/{i}.png", f"labels/{i}.png") for i in range(3)]
    with pytest.raises(DataError, match="at least 4 images"):
        prepare(tmp_path / "1", 1, Sample(), Source(pairs))


def test_sizes_must_agree(tmp_path: Path) -> None:
    pairs = [_pair(tmp_path, f"images/{i}.png", f"labels/{i}.png") for i in range(4)]
    assert cv2.imwrite(str(pairs[0][1]), np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match="must have one size"):
        prepare(tmp_path / "1", 1, Sample(), Source(pairs))
