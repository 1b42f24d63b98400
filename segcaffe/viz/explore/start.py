"""The pixel that the page shows first: one whose mask shows what masks are for."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.metrics.pairs import near_boundary
from segcaffe.viz.explore.scene import Scene, View

Array = np.ndarray[Any, Any]
_TRIED = 200
_NEAR, _BESIDE = 4, 2
"""Pixels from a boundary: within the first, not within the second, where embeddings mix."""


def first_pixel(scene: Scene, view: View) -> list[int]:
    """Column and row of a pixel beside a boundary whose mask through ``view`` is part bright, part dark.

    Those beside boundaries of the label maps, the nearest to the image's middle, are tried, or without label maps some
    all over its inner half; the one whose mask varies most is chosen.
    """
    values = scene.embeddings[view.embedding]
    best, found = -1.0, [scene.image.shape[1] // 2, scene.image.shape[0] // 2]
    for row, col in _places(scene):
        varies = _contrast(values, _cell(scene, values, row, col), view)
        if varies > best:
            best, found = varies, [int(col), int(row)]
    return found


def _places(scene: Scene) -> Array:
    """Rows and columns (n, 2) that are tried, the nearest to the middle first."""
    height, width = scene.image.shape[:2]
    for kind in ("truth", "prediction"):
        label = scene.labels.get(kind)
        if label is not None:
            beside = np.argwhere(near_boundary(label, _NEAR) & ~near_boundary(label, _BESIDE))
            if len(beside):
                order = np.abs(beside - (height // 2, width // 2)).sum(1).argsort(kind="stable")
                return np.asarray(beside[order[:_TRIED]])
    step = max(1, round((height * width / 4 / _TRIED) ** 0.5))
    rows, cols = np.mgrid[height // 4 : height - height // 4 : step, width // 4 : width - width // 4 : step]
    return np.stack([rows.ravel(), cols.ravel()], 1)


def _cell(scene: Scene, values: Array, row: int, col: int) -> tuple[int, int]:
    """The cell of the blob (E, h, w) on which a pixel lies."""
    down, across = (
        (size - 1) / max(1, extent - 1) for size, extent in zip(values.shape[1:], scene.extent, strict=True)
    )
    return round(row * down), round(col * across)


def _contrast(values: Array, cell: tuple[int, int], view: View) -> float:
    """The variance of a cell's mask; -1 where its window leaves the blob."""
    (row, col), half = cell, view.kernel // 2 * view.dilation
    if min(row, col) < half or row + half >= values.shape[1] or col + half >= values.shape[2]:
        return -1.0
    window = values[:, row - half : row + half + 1 : view.dilation, col - half : col + half + 1 : view.dilation]
    difference = np.abs(window - values[:, row, col][:, None, None])
    distance = difference.sum(0) if view.norm == "l1" else 0.5 * (difference**2).sum(0)
    return float(np.exp(-view.scale * distance).var())
