"""From pixels to what a net sees: mean, scale, crop, mirror, padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import Image
from segcaffe.data.opencv import hold_threads
from segcaffe.data.resizing import Resizing
from segcaffe.device.host_memory import require
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.encoding import to_native
from segcaffe.window import MOST_PIXELS

Array = NDArray[Any]
Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class View:
    """The part of an image a net sees: ``height`` x ``width`` from (top, left), perhaps mirrored left to right.

    It may reach beyond the right and lower edge of the image, where there is padding.
    """

    top: int
    left: int
    height: int
    width: int
    mirror: bool


def crop_size(param: caffe_pb2.TransformationParameter) -> tuple[int, int]:
    """Height and width of the crop; 0 where there is none."""
    return param.crop_height or param.crop_size, param.crop_width or param.crop_size


class Transformer:
    """Caffe's data transformation: ``(pixel - mean) * scale`` of a part of the image.

    Parameters
    ----------
    param:
        ``transform_param`` of a layer.
    phase:
        In TRAIN crops are taken anywhere, in TEST from the centre. Mirroring is random in both.
    where:
        How messages name the layer.
    dtype:
        float32 or float64, of the results.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int, where: str, dtype: Any) -> None:
        self.param, self.where = param, where
        self.training = phase == caffe_pb2.TRAIN
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.crop = _crop(param, where)
        if not all(0 < factor < math.inf for factor in param.scale_factors):
            received = ", ".join(map(str, param.scale_factors))
            raise DataError(f"{where}: transform_param's scale_factors must be positive numbers. Received: {received}.")
        self.mean = self._mean()
        self.resizing = Resizing(param, self.crop, where)

    def shape(self, image: Array) -> tuple[int, int]:
        """Height and width of the result for an image (H, W, C) (scale factors apart, which need a crop)."""
        height, width = image.shape[:2]
        return self.crop or (height, width)

    def image(self, image: Image, random: Random) -> Array:
        """Transform an image (H, W, C) to (C, h, w); smaller than the crop it is padded, right and below."""
        image = self.resizing(image, random)
        return self.values(image, self.view(image, random))

    def pair(self, image: Image, label: Array, random: Random, padding: int = 255) -> tuple[Array, Array]:
        """Transform an image (H, W, C) and its label map (H, W, K) of the same size by the same crop and mirroring.

        Mean and scale apply to the image only. Where the label map is padded, channel 0 gets ``padding``, others 0.
        Returns (C, h, w) and (K, h, w).
        """
        image, label = self._scaled(image, label, random)
        view = self.view(image, random)
        return self.values(image, view), self._label(label, view, padding)

    def datum(self, values: Array, random: Random) -> Array:
        """Transform an array (C, H, W) of any type; it must not be smaller than the crop."""
        image = self.resizing(np.asarray(values).transpose(1, 2, 0), random)
        if self.crop and (image.shape[0] < self.crop[0] or image.shape[1] < self.crop[1]):
            raise DataError(
                f"{self.where}: the data must be at least as large as the crop, {self.crop[0]} x {self.crop[1]}. "
                f"Received: {image.shape[0]} x {image.shape[1]}."
            )
        return self.values(image, self.view(image, random))

    def view(self, image: Array, random: Random) -> View:
        """What the net sees of an image (H, W, C)."""
        mirror = self.param.mirror and bool(random.integers(2))
        rows, cols = image.shape[:2]
        height, width = self.crop or (rows, cols)
        free = max(rows - height, 0), max(cols - width, 0)
        if self.training:
            top, left = int(random.integers(free[0] + 1)), int(random.integers(free[1] + 1))
        else:
            top, left = free[0] // 2, free[1] // 2
        return View(top, left, height, width, mirror)

    def values(self, image: Array, view: View) -> Array:
        """What a net sees of an image (H, W, C): (C, h, w), padded where the view reaches beyond it."""
        part = _part(image, view).transpose(2, 0, 1)
        whole = part.shape[1:] == (view.height, view.width)
        shape = (part.shape[0], view.height, view.width)
        require(math.prod(shape) * self.dtype.itemsize)
        # The padding is the mean, so zero once the mean is subtracted; zero where there is none.
        out = np.empty(shape, self.dtype) if whole else np.zeros(shape, self.dtype)
        # Mirrored, the same pixels are written from right to left.
        inside = (out[:, :, ::-1] if view.mirror else out)[:, : part.shape[1], : part.shape[2]]
        if self.mean is None:
            inside[...] = part
        else:
            np.subtract(part, self._mean_of(image, view), out=inside, casting="unsafe", dtype=self.dtype)
        if self.param.scale != 1:
            out *= self.dtype.type(self.param.scale)
        return out

    def _label(self, label: Array, view: View, padding: int) -> Array:
        part = _part(label, view).transpose(2, 0, 1)
        out = np.zeros((part.shape[0], view.height, view.width), self.dtype)
        if part.shape[1:] != out.shape[1:]:
            out[0] = padding
        (out[:, :, ::-1] if view.mirror else out)[:, : part.shape[1], : part.shape[2]] = part
        return out

    def _scaled(self, image: Image, label: Array, random: Random) -> tuple[Image, Array]:
        """Both at a size drawn from ``scale_factors``; labels take the nearest value."""
        import cv2

        hold_threads()
        factors = self.param.scale_factors
        factor = factors[int(random.integers(len(factors)))] if factors else 1.0
        if factor == 1.0:
            return image, label
        # float32, as in the original: 10 * 0.7 is 7, where doubles would give 6
        with np.errstate(over="ignore"):
            size = tuple(
                int(min(np.float32(side) * np.float32(factor), 2 * MOST_PIXELS)) for side in image.shape[1::-1]
            )
        if min(size) < 1:
            raise DataError(f"{self.where}: scale factor {factor} leaves nothing of an image of {image.shape[:2]}.")
        if max(size) > MOST_PIXELS:
            raise DataError(f"{self.where}: scale factor {factor} makes an image of {image.shape[:2]} too large.")
        require(math.prod(size) * (image[0, 0].nbytes + label[0, 0].nbytes))
        scaled = cv2.resize(image, size).reshape(size[1], size[0], -1)
        nearest = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST).reshape(size[1], size[0], -1)
        return scaled, nearest

    def _mean(self) -> Array | None:
        """The mean as (C, 1, 1) or (C, H, W); None without one."""
        if not self.param.HasField("mean_file") and not self.param.mean_value:
            return None
        if self.param.HasField("mean_file") and self.param.mean_value:
            raise DataError(f"{self.where}: transform_param takes either mean_file or mean_value, not both.")
        if self.param.mean_value:
            return np.array(self.param.mean_value, self.dtype)[:, None, None]
        return read_mean(to_native(self.param.mean_file), self.where).astype(self.dtype)

    def _mean_of(self, image: Array, view: View) -> Array:
        """The mean of the pixels in view."""
        assert self.mean is not None
        height, width, channels = image.shape
        if self.param.mean_value:
            if len(self.mean) not in (1, channels):
                raise DataError(
                    f"{self.where}: transform_param needs one mean_value, or one for each of the {channels} channels. "
                    f"Received: {len(self.mean)}."
                )
            return self.mean
        if self.mean.shape != (channels, height, width):
            raise DataError(
                f'{self.where}: the mean in "{self.param.mean_file}" has shape {self.mean.shape}, the data '
                f"{(channels, height, width)}; they must be equal."
            )
        mean: Array = _part(self.mean.transpose(1, 2, 0), view).transpose(2, 0, 1)
        return mean


def read_mean(path: str, where: str) -> NDArray[np.float32]:
    """The mean image of a binary BlobProto file, (C, H, W).

    Raises
    ------
    DataError
        The file is missing, is no BlobProto, or does not hold one image.
    """
    from google.protobuf.message import DecodeError

    from segcaffe.data.images import read_bytes

    content = read_bytes(path, f"{where}: mean_file")
    proto = caffe_pb2.BlobProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise DataError(f'{where}: mean_file "{path}" is not a binary BlobProto.') from error
    values = np.array(proto.data or proto.double_data, np.float32)
    shape = tuple(proto.shape.dim) if proto.HasField("shape") else (proto.channels, proto.height, proto.width)
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(shape) != 3 or min(shape) < 0 or values.size != math.prod(shape):
        raise DataError(
            f'{where}: mean_file "{path}" must hold one image. Received: shape {shape}, {values.size} values.'
        )
    return values.reshape(shape)


_SIDES = (("crop_height", "crop_width"), ("crop_h", "crop_w"))
"""The names of DeepLab, and those of SSD."""


def _crop(param: caffe_pb2.TransformationParameter, where: str) -> tuple[int, int] | None:
    """Height and width of the crop; None for the whole image."""
    names = next((pair for pair in _SIDES if any(map(param.HasField, pair))), None)
    if names and (param.HasField("crop_size") or not all(map(param.HasField, names))):
        raise DataError(f"{where}: transform_param takes either crop_size, or {' and '.join(names)} together.")
    height, width = crop = tuple(int(getattr(param, name)) for name in names or ("crop_size", "crop_size"))
    if max(crop) > MOST_PIXELS:
        raise DataError(
            f"{where}: transform_param's crop_size (crop_height, crop_width) must be {MOST_PIXELS} at most. "
            f"Received: {max(crop)}."
        )
    return (height, width) if height and width else None


def _part(image: Array, view: View) -> Array:
    """The pixels in view that exist."""
    return image[view.top : view.top + view.height, view.left : view.left + view.width]
