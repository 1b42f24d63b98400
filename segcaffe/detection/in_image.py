"""From parts of a net's input to pixels of the image that it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.proto.caffe_pb2 import ResizeParameter

Array = np.ndarray[Any, Any]


def in_pixels(boxes: Array, size: tuple[int, int], resize: ResizeParameter | None = None) -> Array:
    """Boxes (N, 4) in the pixels of an image, clipped to it.

    Parameters
    ----------
    boxes:
        In parts of the net's input.
    size:
        Height and width of the image.
    resize:
        How the input was made from it; None: stretched.
    """
    height, width = size
    scale = np.array([width, height, width, height], boxes.dtype)
    mode = ResizeParameter.WARP if resize is None else resize.resize_mode
    if mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD and resize is not None:
        boxes = _without_padding(boxes, width / height, resize.width / resize.height)
    if mode == ResizeParameter.FIT_SMALL_SIZE and resize is not None and resize.height_scale and resize.width_scale:
        fixed = np.array([resize.width_scale, resize.height_scale] * 2, boxes.dtype)
        return np.asarray(np.clip(boxes * fixed, 0, scale))
    return np.asarray(boxes.clip(0, 1) * scale)


def _without_padding(boxes: Array, aspect: float, input_aspect: float) -> Array:
    """Boxes in parts of the image, which lies in the middle of the input."""
    used = np.array([1.0, input_aspect / aspect] if aspect > input_aspect else [aspect / input_aspect, 1.0])
    low = np.tile((1 - used) / 2, 2)
    return np.asarray((boxes - low) / np.tile(used, 2), boxes.dtype)
