"""WindowData: labelled windows of images, foreground and background in a fixed proportion."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import Image, read_image
from segcaffe.data.loader import Arrays, BatchLoader, Random, Share
from segcaffe.data.transformer import crop_size, read_mean
from segcaffe.data.warp import warp
from segcaffe.data.windows import read_windows
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import PrefetchingSource, log
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.proto.encoding import to_native

_CACHED_IMAGES = 4096


@register
class WindowData(PrefetchingSource):
    """Windows drawn at random from a window file, warped to a square.

    top: data (N, C, S, S), S the crop_size of ``transform_param``; labels (N,). The first of a batch are background
    (overlap below ``bg_threshold``, label 0), the last ``fg_fraction`` of it foreground (overlap at least
    ``fg_threshold``). ``crop_mode`` "warp" stretches a window to the square, "square" widens it first;
    ``context_pad`` pixels around it show its surroundings. What lies outside the image is 0.
    Values are (pixel - mean) times the ``scale`` of ``window_data_param``.
    """

    other_options = ("transform_param",)
    top_count = (2, 2)

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """Colour unless told otherwise."""
        return 1 if param.transform_param.force_gray else 3, *crop_size(param.transform_param)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window file, check the options."""
        param, self.transform = self.param.window_data_param, self.param.transform_param
        self.size = self.transform.crop_size
        if self.size <= 2 * param.context_pad:
            raise self.fail(
                "transform_param needs a crop_size, larger than twice context_pad", f"{self.size}, {param.context_pad}"
            )
        if param.crop_mode not in ("warp", "square"):
            raise self.fail('crop_mode must be "warp" or "square"', f'"{param.crop_mode}"')
        windows, self.channels = read_windows(to_native(param.source), self.where)
        self.mean = self._mean()
        self._warn_about_scale()
        self.foreground = [window for window in windows if window.overlap >= param.fg_threshold]
        self.background = [w for w in windows if w.overlap < param.bg_threshold and w.overlap < param.fg_threshold]
        if wrong := next((window for window in self.foreground if window.label < 1), None):
            raise DataError(f"{self.where}: {wrong.place}: a foreground window needs a label of at least 1.")
        self.images = functools.lru_cache(_CACHED_IMAGES)(self._read) if param.cache_images else self._read
        loader = BatchLoader(self, self.load, param.batch_size, self.where)
        self._check_both(param.batch_size)
        self.start(loader, top)

    def share(self, by_batch: bool = True) -> Share:
        """By whole batches, each with its foreground."""
        return super().share(by_batch)

    def item(self, number: int, seed: int) -> bool:
        """Whether item ``number`` is a foreground window: the last ones of each batch are."""
        size = self.param.window_data_param.batch_size
        return number % size >= size - self._foreground_count(size)

    def load(self, foreground: bool, random: Random) -> Arrays:
        """A window (C, S, S) and its label ()."""
        windows = self.foreground if foreground else self.background
        window = windows[int(random.integers(len(windows)))]
        mirror = self.transform.mirror and bool(random.integers(2))
        param = self.param.window_data_param
        square = param.crop_mode == "square"
        image = self.images(window.image, window.place)
        warped = warp(image, window, self.size, param.context_pad, square, mirror, self.where)
        out = np.zeros((self.channels, self.size, self.size), self.dtype)
        rows, cols = warped.pixels.shape[:2]
        inside = np.s_[:, warped.top : warped.top + rows, warped.left : warped.left + cols]
        mean = self.mean[inside] if self.mean.shape[1] > 1 else self.mean
        out[inside] = (warped.pixels.transpose(2, 0, 1) - mean) * self.dtype.type(param.scale)
        return out, np.array(window.label if foreground else 0, self.dtype)

    def _read(self, name: str, place: str) -> Image:
        root = to_native(self.param.window_data_param.root_folder)
        return read_image(root + name, self.channels == 3, f"{self.where}: {place}")

    def _foreground_count(self, batch_size: int) -> int:
        return int(np.float32(batch_size) * np.float32(self.param.window_data_param.fg_fraction))

    def _check_both(self, batch_size: int) -> None:
        count = self._foreground_count(batch_size)
        for kind, windows, needed in (
            ("foreground", self.foreground, count),
            ("background", self.background, batch_size - count),
        ):
            if needed and not windows:
                raise DataError(
                    f"{self.where}: a batch has {needed} {kind} windows and the window file has none; check "
                    "fg_threshold, bg_threshold and fg_fraction."
                )

    def _warn_about_scale(self) -> None:
        if self.transform.scale != 1:
            log.warning(
                "%s: as in Caffe, transform_param.scale is not used here; write window_data_param { scale: %g }.",
                self.where,
                self.transform.scale,
            )

    def _mean(self) -> NDArray[np.floating]:
        """The mean as (C, 1, 1) or (C, S, S), the middle of the mean image."""
        transform = self.transform
        if transform.HasField("mean_file") and transform.mean_value:
            raise DataError(f"{self.where}: transform_param takes either mean_file or mean_value, not both.")
        if not transform.HasField("mean_file"):
            values = np.array(transform.mean_value or [0.0], self.dtype)[:, None, None]
            if len(values) not in (1, self.channels):
                raise self.fail(f"needs one mean_value, or one for each of {self.channels} channels", len(values))
            return values
        mean = read_mean(to_native(transform.mean_file), self.where).astype(self.dtype)
        start = (mean.shape[2] - self.size) // 2
        middle = mean[:, start : start + self.size, start : start + self.size] if start >= 0 else mean[:, :0]
        if middle.shape != (self.channels, self.size, self.size):
            raise self.fail("the mean image must be a square at least as large as crop_size", mean.shape)
        return middle
