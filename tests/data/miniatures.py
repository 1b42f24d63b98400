"""Well-known data sets in miniature: a few generated images in the folders and files of the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from segcaffe.data.png import write_label

SPLITS = {"train": ("2007_2", "2007_1"), "val": ("2007_9",), "trainval": ("2007_1", "2007_2", "2007_9"),
          "test": ("2008_3",)}  # fmt: skip
FURTHER = ("2008_4", "2008_5")
"""Images that VOC has no label maps of."""


def picture(path: Path, height: int = 40, width: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


def make_voc(folder: Path) -> Path:
    """VOC2012: images, label maps of all splits but test, lists of ids."""
    sets = folder / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    for split, names in SPLITS.items():
        (sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            picture(folder / "JPEGImages" / f"{name}.jpg")
            if split != "test":
                write_label(folder / "SegmentationClass" / f"{name}.png", _label(), "test")
    for name in FURTHER:
        picture(folder / "JPEGImages" / f"{name}.jpg")
    return folder


def make_sbd(folder: Path, names: Iterable[str]) -> Path:
    """SBD's benchmark_RELEASE: a MATLAB file for each label map."""
    (folder / "dataset" / "cls").mkdir(parents=True)
    for name in names:
        truth = {"Boundaries": np.zeros((20, 1)), "Segmentation": _label(), "CategoriesPresent": 1}
        savemat(folder / "dataset" / "cls" / f"{name}.mat", {"GTcls": truth})
    return folder


def make_coco(folder: Path, year: str = "2014") -> Path:
    """MSCOCO: two training images and one for validation, a dog on each but the last."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 2), ("val", 1)):
        images, objects = [], []
        for number in range(1, count + 1):
            name = f"COCO_{split}{year}_{number:012d}.jpg"
            picture(folder / f"{split}{year}" / name, 60, 80)
            images.append({"id": number, "file_name": name, "height": 60, "width": 80})
            ring = [10.4, 10, 30, 10, 30, 40.2, 10, 40]
            dog = {"image_id": number, "category_id": 18, "area": 600.0, "iscrowd": 0, "segmentation": [ring]}
            objects += [dog] if split == "train" else []
        content = {"images": images, "annotations": objects}
        (folder / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(content))
    return folder


def _label() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    label = np.zeros((40, 50), np.uint8)
    label[10:30, 10:30] = 12
    label[10:30, 9] = 255
    return label
