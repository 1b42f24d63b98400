"""Detections and annotations in COCO's files, made by chance but always the same.

``python -m tests.metrics.detection_data`` writes them into the current folder, to be compared with pycocotools by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = (1, 3, 18, 44)
IMAGES = 40


def make_sized() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """As `make`, with objects of all sizes that do not always fill their boxes, and images in any order."""
    content, results = make(largest=400, images=20)
    for one in content["annotations"][::3]:
        one["area"] *= 0.75
    for one in content["annotations"][::7]:
        one["bbox"][2:], one["area"] = [32.0, 32.0], 1024.0
    content["images"].reverse()
    return content, results


def make(largest: int = 120, images: int = IMAGES) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results: crowds, equal scores, an image with 150 boxes of a class, a class that is never there.

    Coordinates are halves of pixels, so that no overlap depends on how it is rounded; no side is as long as ``largest``
    of them.
    """
    rng = np.random.RandomState(7)  # Its numbers stay the same in all releases.
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(images):
        number = 100 + 7 * image
        for _ in range(rng.randint(0, 9)):
            box = [*rng.randint(0, 200, 2) / 2, *rng.randint(10, largest, 2) / 2]
            label = int(CLASSES[rng.randint(3)])
            crowd = int(rng.rand() < 0.15)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": label, "bbox": box, "iscrowd": crowd,
                 "area": box[2] * box[3]}
            )  # fmt: skip
            for _ in range(rng.randint(0, 4)):
                moved = np.maximum(np.array(box) + rng.randint(-6, 7, 4) / 2, 0.5)
                found = label if rng.rand() < 0.85 else int(CLASSES[rng.randint(4)])
                results.append(_result(number, found, moved, rng.randint(20, 60)))
        for _ in range(rng.randint(0, 5) if image else 150):
            box = [*rng.randint(0, 200, 2) / 2, *rng.randint(10, 120, 2) / 2]
            results.append(
                _result(number, int(CLASSES[rng.randint(3)]) if image else 1, np.array(box), rng.randint(0, 40))
            )
    named = [{"id": 100 + 7 * i, "file_name": f"{i:04d}.jpg", "height": 200, "width": 200} for i in range(images)]
    categories = [{"id": label, "name": f"class {label}"} for label in CLASSES]
    return {"images": named, "annotations": annotations, "categories": categories}, results


def _result(image: int, label: int, box: np.ndarray[Any, Any], score: int) -> dict[str, Any]:
    return {"image_id": image, "category_id": label, "bbox": box.tolist(), "score": score / 64}


def write(folder: Path, sized: bool = False) -> tuple[Path, Path]:
    """Write both files; returns the paths of annotations and results."""
    paths = folder / "annotations.json", folder / "results.json"
    for path, content in zip(paths, make_sized() if sized else make(), strict=True):
        path.write_text(json.dumps(content))
    return paths


if __name__ == "__main__":
    write(Path())
