"""Generated images for the demo and for tests: textured shapes on textured backgrounds, with their labels.

Every region alternates between two colours around a mean of its own, so neighbouring pixels of one region often
differ as much as pixels across a boundary: only what a pixel's neighbourhood looks like tells regions apart. Label maps
are palette PNGs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.opencv import hold_threads
from segcaffe.data.png import write_label
from segcaffe.errors import DataError, SegcaffeError

Image = np.ndarray[Any, np.dtype[np.uint8]]
CLASS_NAMES = ("bluish", "greenish", "reddish")
CLASS_COLOURS = ((70, 110, 220), (80, 180, 90), (215, 80, 75))
"""Colours R, G, B of the classes in label maps."""


@dataclass(frozen=True)
class SyntheticSet:
    """A folder of generated images: list files of image and label paths, and of image ids, per subset."""

    root: Path
    train_list: Path
    test_list: Path
    test_ids: Path


def make_scene(rng: np.random.Generator, size: int, classes: bool = False) -> tuple[Image, Image]:
    """Draw one image (size, size, 3), BGR, and its label map (size, size): 0 background, 1, 2, ... objects.

    With ``classes`` labels tell kinds of regions instead: 0, 1, 2 where the mean is bluish, greenish, reddish. All
    regions of one kind have the same texture, and an object has another than the background, so that labels change
    where one sees a boundary.
    """
    import cv2

    hold_threads()
    textures = [texture(rng, size, kind) for kind in range(len(CLASS_NAMES))] if classes else []
    background = int(rng.integers(len(CLASS_NAMES))) if classes else 0
    image = textures[background] if classes else texture(rng, size)
    label = np.full((size, size), background, np.uint8)
    for index in range(1, int(rng.integers(2, 5)) + 1):
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [_outline(rng, size)], 1)
        kind = (background + int(rng.integers(1, len(CLASS_NAMES)))) % len(CLASS_NAMES) if classes else index
        own = textures[kind] if classes else texture(rng, size)
        image = np.where(mask[..., None] == 1, own, image)
        label[mask == 1] = kind
    noisy = image + rng.normal(0, 6, image.shape)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.5), 0, 255).astype(np.uint8), label


def write_set(
    root: Path, train: int = 48, test: int = 12, size: int = 144, seed: int = 0, classes: bool = False
) -> SyntheticSet:
    """Write ``train`` and ``test`` scenes as PNG pairs with their list files; the same files for the same arguments.

    With ``classes`` the label maps have `CLASS_COLOURS`, otherwise PASCAL VOC's.
    """
    rng = np.random.default_rng(seed)
    palette = np.array(CLASS_COLOURS, np.uint8) if classes else None
    try:
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for subset, count in (("train", train), ("test", test)):
            ids = [f"{subset}_{i:03d}" for i in range(count)]
            for name in ids:
                image, label = make_scene(rng, size, classes)
                write_picture(root / "images" / f"{name}.png", image, "make-scenes", one_of_many=True)
                write_label(root / "labels" / f"{name}.png", label, "make-scenes", palette)
            pairs = [f"images/{name}.png labels/{name}.png\n" for name in ids]
            write_bytes(root / f"{subset}.txt", "".join(pairs).encode(), "make-scenes")
            write_bytes(root / f"{subset}_id.txt", "".join(f"{name}\n" for name in ids).encode(), "make-scenes")
    except SegcaffeError:
        raise
    except OSError as error:
        raise DataError(f"{root}: the generated images cannot be written: {error.strerror or error}.") from error
    return SyntheticSet(root, root / "train.txt", root / "test.txt", root / "test_id.txt")


def texture(rng: np.random.Generator, size: int, kind: int | None = None) -> np.ndarray[Any, Any]:
    """A pattern of stripes, checks or spots between two colours, equally far from a random mean.

    The mean of a ``kind`` is strong in the channel of that number.
    """
    mean = rng.uniform(70, 185, 3)
    if kind is not None:
        mean = rng.uniform(90, 130, 3)
        mean[kind] += 40
    swing = rng.uniform(20, 45, 3) * rng.choice((-1, 1), 3)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4.5, 9)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    u = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period
    v = (y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period
    waves = (np.sin(u), np.sin(u) * np.sin(v), np.sin(u) + np.sin(v) - 0.6)
    blend = 1 / (1 + np.exp(-4 * waves[int(rng.integers(3))]))[..., None]
    return np.asarray(mean + swing * (2 * blend - 1))


def _outline(rng: np.random.Generator, size: int) -> np.ndarray[Any, Any]:
    """A star-shaped closed curve with a few waves, somewhere in the image."""
    centre = rng.uniform(0.2 * size, 0.8 * size, 2)
    radius = rng.uniform(0.14, 0.3) * size
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    waves = np.zeros_like(t)
    for k in (2, 3, 5):
        waves += rng.uniform(0, 0.22) * np.cos(k * t + rng.uniform(0, 2 * np.pi))
    points = centre + (radius * (1 + waves))[:, None] * np.stack([np.cos(t), np.sin(t)], 1)
    return np.asarray(np.round(points), np.int32)
