"""The mean image of a database or a list, as Caffe's compute_image_mean makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from segcaffe.blob.proto import array_of
from segcaffe.data.contents import Items
from segcaffe.data.files import BadItems, write_bytes
from segcaffe.data.images import read_bytes
from segcaffe.errors import DataError, WeightsError
from segcaffe.files.npy import array_of_bytes
from segcaffe.proto import caffe_pb2

Array = NDArray[Any]


@dataclass
class Mean:
    """Running mean of images (C, H, W).

    Attributes
    ----------
    count:
        Number of images.
    sizes:
        The heights and widths met, as many as two.
    """

    count: int = 0
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    _image: Array | None = None
    _channels: Array | None = None
    _pixels: int = 0

    def add(self, image: Array) -> None:
        """Take in an image."""
        sums = image.sum(axis=(1, 2), dtype=np.float64)
        if self._channels is not None and len(sums) != len(self._channels):
            raise DataError(
                f"mean: all images must have as many channels as the first, {len(self._channels)}. "
                f"Received: {len(sums)}."
            )
        self._channels = sums if self._channels is None else self._channels + sums
        self._pixels += image.shape[1] * image.shape[2]
        self.count += 1
        if image.shape[1:] not in self.sizes and len(self.sizes) < 2:
            self.sizes.append(image.shape[1:])
        if len(self.sizes) > 1:
            self._image = None
        elif self._image is None:
            self._image = image.astype(np.float64)
        else:
            self._image += image

    @property
    def channels(self) -> list[float]:
        """Mean of each channel: what ``mean_value`` takes."""
        return [] if self._channels is None else (self._channels / self._pixels).tolist()

    def image(self) -> Array:
        """The mean image (C, H, W); DataError unless all have one size."""
        if self._image is None:
            raise DataError(
                "mean: a mean image needs images of one size (height x width). Received: "
                f"{' and '.join(f'{h} x {w}' for h, w in self.sizes)}. Resize them in make-db, or use the channels' "
                "means (mean_value)."
            )
        return self._image / self.count

    def write(self, path: Path) -> None:
        """Write the mean image as the binary BlobProto that ``mean_file`` takes."""
        image = self.image()
        channels, height, width = image.shape
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        blob.data.extend(image.astype(np.float32).ravel().tolist())
        write_bytes(path, blob.SerializeToString(), "mean")


def mean_of(items: Items, bad: BadItems, progress: Callable[[], object] = lambda: None) -> Mean:
    """The mean of all images of a database or list."""
    mean = Mean()
    for image in _arrays(items, bad, progress):
        mean.add(image)
    if mean.count == 0:
        raise DataError(f"mean: no image can be used.\n{bad.text()}")
    return mean


def _arrays(items: Items, bad: BadItems, progress: Callable[[], object]) -> Iterator[Array]:
    for item in items.arrays():
        progress()
        if isinstance(item, DataError):
            bad.add(item)
        else:
            yield item.image.transpose(2, 0, 1)


def read_mean_pixel(path: str | Path, where: str) -> NDArray[np.float32]:
    """Mean values per channel (C,), of a .npy or .binaryproto file of a mean image or mean pixel.

    DataError, beginning with ``where``, if the file cannot be read or is no mean.
    """
    file = Path(path)
    content = read_bytes(str(file), where)
    try:
        if file.suffix.lower() == ".npy":
            mean = array_of_bytes(content)
        else:
            mean = array_of(caffe_pb2.BlobProto.FromString(content), where)
    except (DecodeError, ValueError, WeightsError) as error:
        raise DataError(f'{where}: "{path}" is no .npy or .binaryproto file of a mean: {error}.') from error
    shape = mean.shape
    mean = mean.reshape(shape[-3:]) if mean.ndim == 4 and shape[0] == 1 else mean
    if mean.ndim not in (1, 3) or not mean.size or mean.dtype.kind not in "fiub":
        received = f"{mean.dtype} of shape {shape}"
        raise DataError(f'{where}: "{path}": a mean is C numbers or an array (C, H, W) of them. Received: {received}.')
    return np.asarray(mean.mean(axis=(1, 2)) if mean.ndim == 3 else mean, np.float32)
