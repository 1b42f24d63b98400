"""Generated images with boxes, to try detectors on: discs, squares and triangles on a textured background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.annotated.label_map import label_map_text
from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.opencv import hold_threads
from segcaffe.data.synthetic import texture

Image = np.ndarray[Any, np.dtype[np.uint8]]
Box = tuple[int, int, int, int]
SHAPES = ("disc", "square", "triangle")


def make_box_scene(rng: np.random.Generator, size: int) -> tuple[Image, list[tuple[int, Box]]]:
    """Draw one image (size, size, 3), BGR, and for each object its label (1, 2, 3) and box (xmin, ymin, xmax, ymax).

    One to four objects, of a third to a seventh of the image's side or so, that overlap little.
    """
    import cv2

    hold_threads()
    image = texture(rng, size)
    objects: list[tuple[int, Box]] = []
    for _ in range(int(rng.integers(1, 5))):
        radius = rng.uniform(0.08, 0.19) * size
        center = rng.uniform(radius + 1, size - radius - 1, 2)
        if any(np.hypot(*(center - _center(box))) < radius + (box[2] - box[0]) / 2 for _, box in objects):
            continue
        label = int(rng.integers(len(SHAPES)))
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [_outline(label, center, radius)], 1)
        colour = rng.uniform(0, 255, 3)
        image = np.where(mask[..., None] == 1, colour, image)
        rows, columns = np.nonzero(mask)
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        objects.append((label + 1, box))
    noisy = image + rng.normal(0, 6, image.shape)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.5), 0, 255).astype(np.uint8), objects


def write_box_set(root: Path, train: int, test: int, size: int, seed: int) -> list[Path]:
    """Write scenes as PNG files, their boxes as VOC's XML, a list for each subset and the label map.

    Returns the lists and the label map; the same files for the same arguments.
    """
    rng = np.random.default_rng(seed)
    for folder in ("images", "boxes"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    written = []
    for subset, count in (("train", train), ("test", test)):
        names = [f"{subset}_{i:04d}" for i in range(count)]
        for name in names:
            image, objects = make_box_scene(rng, size)
            write_picture(root / "images" / f"{name}.png", image, "make-scenes", one_of_many=True)
            write_bytes(
                root / "boxes" / f"{name}.xml",
                _xml(f"{name}.png", size, objects).encode(),
                "make-scenes",
                one_of_many=True,
            )
        written.append(root / f"{subset}.txt")
        lines = "".join(f"images/{name}.png boxes/{name}.xml\n" for name in names)
        write_bytes(written[-1], lines.encode(), "make-scenes")
    written.append(root / "labelmap.prototxt")
    labels = {"background": 0} | {name: label for label, name in enumerate(SHAPES, start=1)}
    write_bytes(written[-1], label_map_text(labels).encode(), "make-scenes")
    return written


def _center(box: Box) -> np.ndarray[Any, Any]:
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


def _outline(label: int, center: np.ndarray[Any, Any], radius: float) -> np.ndarray[Any, Any]:
    corners = {"disc": np.linspace(0, 2 * np.pi, 40, endpoint=False), "square": np.pi * (0.25 + 0.5 * np.arange(4)),
               "triangle": np.pi * (-0.5 + 2 / 3 * np.arange(3))}[SHAPES[label]]  # fmt: skip
    points = center + radius * np.stack([np.cos(corners), np.sin(corners)], axis=1)
    return np.asarray(np.round(points), np.int32)


def _xml(name: str, size: int, objects: list[tuple[int, Box]]) -> str:
    """A VOC annotation."""
    parts = [f"<filename>{name}</filename>", f"<size><width>{size}</width><height>{size}</height></size>"]
    for label, (left, top, right, bottom) in objects:
        corners = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        shape = f"<name>{SHAPES[label - 1]}</name><difficult>0</difficult>"
        parts.append(f"<object>{shape}<bndbox>{corners}</bndbox></object>")
    return "<annotation>\n" + "\n".join(parts) + "\n</annotation>\n"
