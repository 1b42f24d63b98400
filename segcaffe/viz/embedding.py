"""Embeddings, label maps and local masks as pictures (uint8 BGR)."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.data.opencv import hold_threads
from segcaffe.data.palettes import voc_palette

Array = np.ndarray[Any, Any]


def principal_colours(embedding: Array) -> Array:
    """First three principal components of an embedding (E, H, W) as BGR (H, W, 3), each stretched to 0-255."""
    flat = embedding.reshape(len(embedding), -1).T.astype(np.float64)
    flat = flat - flat.mean(0)
    _, _, axes = np.linalg.svd(flat.T @ flat)
    parts = flat @ axes[:3].T
    low, high = np.percentile(parts, (1, 99), axis=0)
    scaled = np.clip((parts - low) / np.maximum(high - low, 1e-12), 0, 1)
    picture = (255 * scaled[:, ::-1]).reshape(*embedding.shape[1:], -1)
    return np.asarray(picture, np.uint8)


def label_colours(label: Array) -> Array:
    """Label map (H, W) in the colours of PASCAL VOC's palette, as BGR; 255 is white-grey."""
    return np.asarray(voc_palette()[label.astype(np.uint8)][..., ::-1])


def local_mask(embedding: Array, y: int, x: int, radius: int, sharpness: float) -> Array:
    """Foreground mask of one pixel: exp(-sharpness * L1 distance) over a window (2 radius + 1 squared), 0 outside."""
    window = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    height, width = embedding.shape[1:]
    y0, y1, x0, x1 = max(0, y - radius), min(height, y + radius + 1), max(0, x - radius), min(width, x + radius + 1)
    distance = np.abs(embedding[:, y0:y1, x0:x1] - embedding[:, y, x][:, None, None]).sum(0)
    window[y0 - y + radius : y1 - y + radius, x0 - x + radius : x1 - x + radius] = np.exp(-sharpness * distance)
    return window


def heat(values: Array) -> Array:
    """Values in [0, 1] (H, W) through OpenCV's viridis colours, as BGR."""
    import cv2

    hold_threads()
    return np.asarray(cv2.applyColorMap(np.clip(255 * values, 0, 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS))
