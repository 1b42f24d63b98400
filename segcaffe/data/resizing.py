"""Images at other sizes, as options of Intel's Caffe and of SSD say: fixed ones, or such that are drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.data.opencv import hold_threads
from segcaffe.device.host_memory import require
from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import RandomAspectRatioParameter, ResizeParameter, TransformationParameter
from segcaffe.window import MOST_PIXELS

Array = np.ndarray[Any, Any]
Random = np.random.Generator
_STEPS = 1000
"""Factors are drawn in thousandths."""


class Resizing:
    """What ``random_resize_param`` and ``random_aspect_ratio_param`` make of images, in training and in tests.

    With the first the shorter side becomes a number from min_size to max_size (0: the image's own shorter, or longer
    side); with the second a part of the image, of min_area_ratio to max_area_ratio of its area and another shape, is
    stretched to the crop; where max_attempt parts did not fit, the shorter side becomes the crop's.   [Intel's Caffe].

    Parameters
    ----------
    crop:
        Height and width of the crop, which these options need.
    """

    def __init__(self, param: TransformationParameter, crop: tuple[int, int] | None, where: str) -> None:
        self._size = param.random_resize_param if param.HasField("random_resize_param") else None
        self._shape = param.random_aspect_ratio_param if param.HasField("random_aspect_ratio_param") else None
        self._crop, self._where = crop or (0, 0), where
        if (self._size is not None or self._shape is not None) and self._crop[0] != self._crop[1]:
            raise self._wrong("random_resize_param and random_aspect_ratio_param take one crop_size", crop)
        if (self._size is not None or self._shape is not None) and crop is None:
            raise self._wrong("random_resize_param and random_aspect_ratio_param need crop_size", "none")
        if self._size is not None:
            self._check_size(self._size.min_size, self._size.max_size)
        if self._shape is not None:
            self._check_shape(self._shape)

    def __call__(self, image: Array, random: Random) -> Array:
        """The image (H, W, C) at the size that is drawn."""
        if self._size is not None:
            least = self._size.min_size or min(image.shape[:2])
            most = self._size.max_size or max(image.shape[:2])
            if most < least:
                raise self._wrong("random_resize_param.max_size must be min_size or more", f"{most} and {least}")
            side = int(random.integers(least, most + 1))
            return self._with_shorter_side(image, side, self._size.resize_param, random)
        if self._shape is not None:
            return self._part(image, self._shape, random)
        return image

    def _part(self, image: Array, options: RandomAspectRatioParameter, random: Random) -> Array:
        height, width = image.shape[:2]
        for _ in range(options.max_attempt):
            side = math.sqrt(_drawn(options.min_area_ratio, options.max_area_ratio, random) * height * width)
            change = _drawn(options.aspect_ratio_change, 1 / options.aspect_ratio_change, random)
            rows, columns = int(side * change), int(side / change)
            if random.random() < 0.5:
                rows, columns = columns, rows
            if 1 <= rows <= height and 1 <= columns <= width:
                top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
                part = image[top : top + rows, left : left + columns]
                return stretched(part, self._crop, options.resize_param, random)
        return self._with_shorter_side(image, self._crop[0], options.resize_param, random)

    def _with_shorter_side(self, image: Array, side: int, policy: ResizeParameter, random: Random) -> Array:
        height, width = image.shape[:2]
        longer = int(np.float32(max(height, width)) / np.float32(min(height, width)) * side)
        if longer > MOST_PIXELS:
            raise self._wrong(f"an image resized may have {MOST_PIXELS} pixels a side", f"{longer}")
        return stretched(image, (side, longer) if height < width else (longer, side), policy, random)

    def _check_size(self, least: int, most: int) -> None:
        if max(least, most) > MOST_PIXELS or (least and most and most < least):
            rule = f"random_resize_param needs 0 <= min_size <= max_size <= {MOST_PIXELS}"
            raise self._wrong(rule, f"{least} and {most}")

    def _check_shape(self, options: RandomAspectRatioParameter) -> None:
        ratios = options.min_area_ratio, options.max_area_ratio
        if not 0 < ratios[0] <= ratios[1] <= 1 or not 0 < options.aspect_ratio_change <= 1:
            rule = (
                "random_aspect_ratio_param needs 0 < min_area_ratio <= max_area_ratio <= 1 and an aspect_ratio_change"
            )
            raise self._wrong(f"{rule} above 0 and at most 1", f"{ratios} and {options.aspect_ratio_change}")

    def _wrong(self, rule: str, received: object) -> DataError:
        return DataError(f"{self._where}: transform_param's {rule}. Received: {received}.")


def stretched(image: Array, size: tuple[int, int], policy: ResizeParameter, random: Random) -> Array:
    """An image (H, W, C) brought to a height and width, by one of the policy's ways to interpolate."""
    import cv2

    hold_threads()
    require(size[0] * size[1] * image[0, 0].nbytes)
    mode = drawn_mode(policy, random)
    made: Array = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=mode)
    return made.reshape(*size, image.shape[2])


def drawn_mode(policy: ResizeParameter, random: Random) -> int:
    """OpenCV's number for one of ``interp_mode``; LINEAR where there is none."""
    import cv2

    modes = policy.interp_mode or [ResizeParameter.LINEAR]
    mode = modes[int(random.integers(len(modes)))] if len(modes) > 1 else modes[0]
    return int(getattr(cv2, f"INTER_{ResizeParameter.Interp_mode.Name(mode)}"))


def _drawn(least: float, most: float, random: Random) -> float:
    """A number from ``least`` to ``most``, in thousandths."""
    return (int(random.integers(int((most - least) * _STEPS + 1))) + least * _STEPS) / _STEPS
