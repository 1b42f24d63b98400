"""Rows of DetectionOutput as OpenCV has them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def rows(keep_top_k: int, images: int, found: int) -> int:
    """How many rows a top has: ``keep_top_k`` for each image; where that is negative as many as were found."""
    return keep_top_k * images if keep_top_k >= 0 else found


def fill_up(top: Array, keep_top_k: int, images: int) -> Array:
    """Detections as Caffe gives them, filled up with rows of zeros to ``keep_top_k`` rows for each image.

    Parameters
    ----------
    top:
        ``(1, 1, n, 7)``: image, label, score, corners; a label of -1 says that nothing was found in it.
    keep_top_k:
        The layer's option; where it is negative there are as many rows as boxes.
    """
    found = top[0, 0][top[0, 0, :, 1] >= 0]
    filled = np.zeros((1, 1, rows(keep_top_k, images, len(found)), top.shape[3]), top.dtype)
    filled[0, 0, : len(found)] = found
    return filled
