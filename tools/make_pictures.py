"""Puts the pictures of docs/ together: python -m tools.make_pictures --recipes DEMO RECIPE --explore PAGE ...

DEMO is the folder that `segcaffe demo` wrote, RECIPE the one in which the commands of docs/recipes.md were run, as
tools/measure_recipes.py leaves them in FOLDER/seed_1; FOUND is the folder of boxes that the commands of
docs/detection.md leave; PAGE is the page that docs/explore.md begins with, which needs Chromium. All images are
generated ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segcaffe.data.label_files import read_labels
from segcaffe.data.synthetic import CLASS_COLOURS
from tools.browser import Browser

Array = np.ndarray[Any, Any]
TARGET = Path(__file__).resolve().parent.parent / "docs" / "images"
SCENES = (0, 6, 7)
DETECTED = (6, 12, 16)
KINDS = ("plain", "segaware", "segaware_crf")
GAP = 6


def main() -> int:
    """Write the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs=2, type=Path, metavar=("DEMO", "RECIPE"))
    parser.add_argument("--detector", type=Path, metavar="FOUND")
    parser.add_argument("--explore", type=Path, metavar="PAGE")
    options = parser.parse_args()
    TARGET.mkdir(exist_ok=True)
    if options.recipes:
        _recipes(*options.recipes)
    if options.detector:
        found = [options.detector / "pictures" / f"test_{index:04d}.jpg" for index in DETECTED]
        _write("detector", _grid([[_read(path, 0.5) for path in found]]))
    if options.explore:
        _explore(options.explore)
    return 0


def _explore(page: Path) -> None:
    """The page of masks on a desk, a pixel at an edge held, and on a telephone."""
    with Browser(1180, 1000) as browser:
        browser.open(page, "scene=1&scale=0.4&kernel=21&x=96&y=90")
        browser.picture(TARGET / "explore.png")
        browser.resize(390, 800, mobile=True)
        browser.open(page, "scene=0&scale=0.4&kernel=21")
        browser.evaluate("window.scrollTo(0, document.querySelector('nav').offsetTop)")
        browser.drawn()
        browser.picture(TARGET / "explore-phone.png")


def _recipes(demo: Path, recipe: Path) -> None:
    report = demo / "report"
    _write("embeddings", _grid([[_read(report / f"image_{i}{part}.png", 0.5) for part in "abcd"] for i in range(2)]))
    masks = sorted(report.glob("mask_*.png"))[:4]
    _write("masks", _grid([[_read(path, 0.9) for path in masks[i : i + 2]] for i in (0, 2)]))
    _write("loss", _read(report / "loss.png", 0.7))
    _write("steps", _grid([_steps(recipe, index) for index in SCENES]))


def _steps(recipe: Path, index: int) -> list[Array]:
    """Image, labels, and the predictions of the three nets."""
    name = f"test_{index:03d}.png"
    colours = np.array(CLASS_COLOURS, np.uint8)[:, ::-1]
    labels = [recipe / "scenes" / "labels" / name, *(recipe / "predicted" / kind / name for kind in KINDS)]
    return [
        _read(recipe / "scenes" / "images" / name),
        *(colours[read_labels(path, "make_pictures")] for path in labels),
    ]


def _read(path: Path, scale: float = 1) -> Array:
    image = cv2.imread(str(path))
    if image is None:
        sys.exit(f"make_pictures: no picture {path}")
    return np.asarray(
        image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    )


def _grid(rows: list[list[Array]]) -> Array:
    """Pictures of one size in rows, on white."""
    padded = [[np.pad(cell, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for cell in row] for row in rows]
    return np.vstack([np.hstack(row) for row in padded])[:-GAP, :-GAP]


def _write(name: str, picture: Array) -> None:
    path = TARGET / f"{name}.png"
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
