"""What SSD does to images before a net sees them: new sizes, other colours, a larger frame, noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from segcaffe.data.annotated.boxed import Boxed
from segcaffe.data.opencv import hold_threads
from segcaffe.data.resizing import drawn_mode
from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import DistortionParameter, ExpansionParameter, NoiseParameter, ResizeParameter

Array = np.ndarray[Any, Any]
Random = np.random.Generator
_BORDER = {
    ResizeParameter.CONSTANT: cv2.BORDER_CONSTANT,
    ResizeParameter.MIRRORED: cv2.BORDER_REFLECT_101,
    ResizeParameter.REPEAT_NEAREST: cv2.BORDER_REPLICATE,
}


def resize(boxed: Boxed, policy: ResizeParameter, random: Random, where: str) -> Boxed:
    """The image at the policy's size, and where its boxes lie then.

    ``WARP`` stretches it to height x width, ``FIT_SMALL_SIZE`` keeps its shape and covers them,
    ``FIT_LARGE_SIZE_AND_PAD`` keeps its shape and fills up on both sides. One of interp_mode is drawn.
    """
    hold_threads()
    if min(policy.height, policy.width) < 1:
        raise DataError(
            f"{where}: resize_param needs height and width of at least 1. Received: {policy.height} and {policy.width}."
        )
    mode = drawn_mode(policy, random)
    height, width = fitted(boxed.image.shape[:2], policy)
    image = cv2.resize(boxed.image, (width, height), interpolation=mode).reshape(height, width, -1)
    free = (policy.height - height, policy.width - width)
    if policy.resize_mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD or not any(free):
        return boxed.with_image(image)
    top, left = free[0] // 2, free[1] // 2
    value = _per_channel(policy.pad_value, image.shape[2], f"{where}: resize_param.pad_value")
    border = _BORDER[policy.pad_mode]
    padded = cv2.copyMakeBorder(image, top, free[0] - top, left, free[1] - left, border, value=value)
    padded = padded.reshape(policy.height, policy.width, -1)
    frame = np.array([-left / width, -top / height, (policy.width - left) / width, (policy.height - top) / height])
    return boxed.part(padded, frame)


def drawn(choices: Sequence[ResizeParameter], random: Random) -> ResizeParameter:
    """One of several ways to resize, by their probabilities; the one there is without a draw."""
    if len(choices) == 1:
        return choices[0]
    weights = np.array([max(choice.prob, 0) for choice in choices])
    return choices[int(random.choice(len(choices), p=weights / weights.sum() if weights.any() else None))]


def in_fixed_size(boxes: Array, policy: ResizeParameter, size: Sequence[int], crop: Array, where: str) -> Array:
    """Boxes (G, 4) in parts of height_scale x width_scale, where FIT_SMALL_SIZE gives those; else as they are.

    ``size`` is the image's before it was resized, ``crop`` the part of it that is seen.
    """
    scale = (policy.width_scale, policy.height_scale)
    if policy.resize_mode != ResizeParameter.FIT_SMALL_SIZE or not all(scale):
        return boxes
    height, width = fitted(size, policy)
    seen = (crop[2:] - crop[:2]) * (width, height)
    if (seen < scale).any():
        raise DataError(
            f"{where}: what is seen of an image must be at least height_scale x width_scale, {scale[1]} x {scale[0]}. "
            f"Received: {seen[1]:g} x {seen[0]:g}."
        )
    return np.asarray(boxes * np.tile(seen / scale, 2))


def fitted(size: Sequence[int], policy: ResizeParameter) -> tuple[int, int]:
    """Height and width of an image of that size before any padding."""
    aspect, wanted = np.float32(size[1]) / np.float32(size[0]), policy.width / policy.height
    if policy.resize_mode == ResizeParameter.WARP:
        return policy.height, policy.width
    by_width = aspect > wanted if policy.resize_mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD else aspect < wanted
    if by_width:
        return max(1, int(np.float32(policy.width) / aspect)), policy.width
    return policy.height, max(1, int(aspect * np.float32(policy.height)))


def expand(boxed: Boxed, policy: ExpansionParameter, fill: Array | None, random: Random) -> Boxed:
    """With the policy's probability, the image somewhere in a larger frame of the mean's colour.

    Parameters
    ----------
    fill:
        (C,) or (1,), the colour of the frame; None: 0.
    """
    if random.uniform() > policy.prob or policy.max_expand_ratio - 1 < 1e-2:
        return boxed
    height, width, channels = boxed.image.shape
    ratio = random.uniform(1, policy.max_expand_ratio)
    size = int(height * ratio), int(width * ratio)
    top, left = int(random.uniform(0, size[0] - height)), int(random.uniform(0, size[1] - width))
    frame = np.zeros((*size, channels), boxed.image.dtype)
    if fill is not None:
        frame[...] = np.broadcast_to(fill, (channels,))
    frame[top : top + height, left : left + width] = boxed.image
    part = np.array([-left / width, -top / height, (size[1] - left) / width, (size[0] - top) / height])
    return boxed.part(frame, part)


def distort(image: Array, policy: DistortionParameter, random: Random) -> Array:
    """The image (H, W, 3), BGR, in other colours: each change with its probability, contrast before or after hue."""
    contrast_first = random.uniform() > 0.5
    image = _brightness(image, policy, random)
    if contrast_first:
        image = _contrast(image, policy, random)
    image = _hue(_saturation(image, policy, random), policy, random)
    if not contrast_first:
        image = _contrast(image, policy, random)
    if random.uniform() < policy.random_order_prob:
        image = image[:, :, random.permutation(3)]
    return np.ascontiguousarray(image)


def _scaled(image: Array, factor: float, shift: float) -> Array:
    return np.asarray(np.clip(np.rint(image.astype(np.float32) * factor + shift), 0, 255).astype(np.uint8))


def _brightness(image: Array, policy: DistortionParameter, random: Random) -> Array:
    if random.uniform() >= policy.brightness_prob:
        return image
    return _scaled(image, 1, random.uniform(-policy.brightness_delta, policy.brightness_delta))


def _contrast(image: Array, policy: DistortionParameter, random: Random) -> Array:
    if random.uniform() >= policy.contrast_prob:
        return image
    return _scaled(image, random.uniform(policy.contrast_lower, policy.contrast_upper), 0)


def _saturation(image: Array, policy: DistortionParameter, random: Random) -> Array:
    if random.uniform() >= policy.saturation_prob:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[:, :, 1] = _scaled(hsv[:, :, 1], random.uniform(policy.saturation_lower, policy.saturation_upper), 0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


def _hue(image: Array, policy: DistortionParameter, random: Random) -> Array:
    if random.uniform() >= policy.hue_prob:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[:, :, 0] = _scaled(hsv[:, :, 0], 1, random.uniform(-policy.hue_delta, policy.hue_delta))
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


def noise(image: Array, policy: NoiseParameter, random: Random, where: str) -> Array:
    """The image (H, W, 1 or 3) after each change that the policy switches on; its probability is not looked at."""
    hold_threads()
    shape = image.shape
    if policy.decolorize and shape[2] == 3:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if policy.gauss_blur:
        image = cv2.GaussianBlur(image, (7, 7), 1.5)
    if policy.hist_eq:
        image = _on_brightness(image, cv2.equalizeHist)
    if policy.clahe:
        image = _on_brightness(image, cv2.createCLAHE(clipLimit=4).apply)
    if policy.jpeg > 0:
        flag = cv2.IMREAD_COLOR if shape[2] == 3 else cv2.IMREAD_GRAYSCALE
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(min(policy.jpeg, 100))])[1]
        image = np.asarray(cv2.imdecode(packed, flag))
    if policy.erode:
        image = cv2.erode(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    if policy.posterize:
        image = image // 64 * 64 + 32
    if policy.inverse:
        image = 255 - image
    image = image.reshape(shape)
    if policy.saltpepper and policy.saltpepper_param.fraction > 0:
        image = _salted(image, policy, random, where)
    for wanted, code in ((policy.convert_to_hsv, cv2.COLOR_BGR2HSV), (policy.convert_to_lab, cv2.COLOR_BGR2Lab)):
        if wanted and shape[2] == 3:
            image = cv2.cvtColor(np.ascontiguousarray(image), code)
    return image


def _on_brightness(image: Array, change: Any) -> Array:
    """Change a gray image, or the brightness of a coloured one."""
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(change(image))
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    planes[:, :, 0] = change(np.ascontiguousarray(planes[:, :, 0]))
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR))


def _salted(image: Array, policy: NoiseParameter, random: Random, where: str) -> Array:
    """Some pixels of another value."""
    height, width, channels = image.shape
    count = int(policy.saltpepper_param.fraction * height * width)
    value = _per_channel(policy.saltpepper_param.value, channels, f"{where}: saltpepper_param.value")
    image = image.copy()
    image[random.integers(height, size=count), random.integers(width, size=count)] = value[:channels]
    return image


def _per_channel(values: Sequence[float], channels: int, where: str) -> list[float]:
    """One number for each channel, from none (0), one or all."""
    if len(values) not in (0, 1, channels):
        raise DataError(f"{where} needs one number, or one for each of the {channels} channels. Received: {[*values]}.")
    return [*values] * channels if len(values) == 1 else [*values] or [0.0] * channels
