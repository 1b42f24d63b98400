"""Generated scenes: repeatable, and with labels that mean what they say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.label_files import read_labels
from segcaffe.data.synthetic import CLASS_COLOURS, make_scene, write_set


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert main(["data", "make-scenes", str(tmp_path / folder), "--train", "2", "--test", "1", "--seed", "3"]) == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 2 * 3 + 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_classes_show_in_the_mean_of_a_neighbourhood_more_than_in_a_pixel() -> None:
    single, averaged = [], []
    for seed in range(10):
        image, label = make_scene(np.random.default_rng(seed), 144, classes=True)
        assert set(np.unique(label)) <= {0, 1, 2}
        assert len(np.unique(label)) > 1
        single.append((image.argmax(axis=2) == label).mean())
        averaged.append((cv2.blur(image.astype(np.float32), (15, 15)).argmax(axis=2) == label).mean())
    assert np.mean(averaged) > 0.75
    assert np.mean(averaged) > np.mean(single) + 0.1


def test_objects_are_numbered() -> None:
    _, label = make_scene(np.random.default_rng(1), 144)
    assert label.max() >= 2
    assert label[0, 0] == 0


def test_sizes_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "make-scenes", str(tmp_path), "--size", "8"]) == 2
    assert "--size must be at least 32" in capsys.readouterr().err


def test_label_maps_are_palette_pngs_of_the_colours_named(tmp_path: Path) -> None:
    write_set(tmp_path, 1, 1, classes=True)
    path = tmp_path / "labels" / "train_000.png"
    indices = read_labels(path, "test")
    np.testing.assert_array_equal(cv2.imread(str(path))[:, :, ::-1], np.array(CLASS_COLOURS, np.uint8)[indices])


def test_all_regions_of_a_class_look_alike() -> None:
    for seed in range(8):
        image, label = make_scene(np.random.default_rng(seed), 144, classes=True)
        smooth = cv2.blur(image.astype(np.float32), (19, 19))
        for kind in np.unique(label):
            inner = cv2.erode((label == kind).astype(np.uint8), np.ones((21, 21)), borderValue=0) == 1
            assert inner.sum() == 0 or smooth[inner].std(axis=0).max() < 4
