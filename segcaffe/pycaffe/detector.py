"""`Detector`: a net that classifies windows of images (R-CNN's way): pycaffe's ``caffe.Detector``.

Windows are (ymin, xmin, ymax, xmax) in pixels. They are given, or proposed by selective search (with OpenCV's extra
modules), or laid out as a grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST
from segcaffe.pycaffe import io
from segcaffe.pycaffe.classifier import gray, make_transformer

Array = NDArray[Any]
_FAR = 1e9
"""Coordinates beyond this are none."""


class Detection(TypedDict):
    """What the net says about one window."""

    window: Array
    prediction: Array
    filename: Any


class Detector(Net):
    """A net in phase TEST with one input, fed with windows of images.

    Parameters
    ----------
    model_file, pretrained_file:
        The net's prototxt and its weights; without these they are to be loaded afterwards.
    mean, input_scale, raw_scale, channel_swap:
        Settings of the `segcaffe.io.Transformer` for the input.
    context_pad:
        How many pixels of its surroundings a window gets on each side, counted in the net's input.
    share_memory:
        As `Net` takes it: less memory, and no blob but inputs and outputs to look at afterwards.
    variables:
        Values of the prototxt's ``${NAME}`` templates.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
        share_memory: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file, share_memory=share_memory, variables=variables)
        self.transformer = make_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[Any, Iterable[Sequence[float]]]]) -> list[Detection]:
        """Classify windows.

        Parameters
        ----------
        images_windows:
            Pairs of an image file, as `segcaffe.io.load_image` takes it, and its windows.

        Returns
        -------
        list
            For each window in turn a dict of window, prediction and filename.
        """
        name = self.inputs[0]
        places: list[tuple[Any, Array]] = []
        crops: list[Array] = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            if self.blobs[name].shape[1] == 1:
                image = gray(image)
            for window in windows:
                places.append((_shown(filename), np.asarray(window)))
                crops.append(self.transformer.preprocess(name, self.crop(image, window)))
        if not crops:
            return []
        predictions = self.forward_all(**{name: np.stack(crops)})[self.outputs[0]]
        predictions = predictions.reshape(len(crops), -1)
        return [
            Detection(window=window, prediction=prediction, filename=filename)
            for (filename, window), prediction in zip(places, predictions, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Iterable[Any]) -> list[Detection]:
        """Classify the windows that selective search proposes; it needs OpenCV's extra modules (ximgproc)."""
        return self.detect_windows((name, propose_selective_search(name)) for name in image_fnames)

    def detect_grid(self, image_fnames: Iterable[Any], scales: Sequence[float] = (1, 0.5, 0.25)) -> list[Detection]:
        """Classify the windows of a regular grid, which needs nothing but the image; see `grid_windows`."""
        return self.detect_windows((name, grid_windows(io.load_image(name).shape[:2], scales)) for name in image_fnames)

    def crop(self, im: Array, window: Sequence[float]) -> Array:
        """Cut a window (ymin, xmin, ymax, xmax) out of an image (H, W, K), with context if it is configured.

        With context the result has the size of the net's input; what lies outside the image is the mean.
        """
        box = np.asarray(window, float)
        if not (np.abs(box).max() < _FAR and box[0] < box[2] and box[1] < box[3]):
            raise DataError(f"A window is (ymin, xmin, ymax, xmax) with extent. Received: {tuple(box.tolist())}.")
        if not self.context_pad:
            y0, x0, y1, x1 = np.clip(box, 0, [*im.shape[:2], *im.shape[:2]]).astype(int)
            return _with_pixels(im[y0:y1, x0:x1], im, box)
        size = int(self.crop_dims[0])
        wide = _widened(box, size / (size - 2 * self.context_pad))
        extent = wide[2:] - wide[:2] + 1
        scale = size / extent
        inside = np.clip(wide, 0, [*im.shape[:2], *im.shape[:2]])
        start = np.round(np.maximum(0, -wide[:2]) * scale).astype(int)
        room = np.minimum(np.round((inside[2:] - inside[:2] + 1) * scale).astype(int), size - start)
        result = np.ones(self.crop_dims, np.float32) * self.crop_mean
        patch = _with_pixels(im[inside[0] : inside[2], inside[1] : inside[3]], im, box)
        result[start[0] : start[0] + room[0], start[1] : start[1] + room[1]] = io.resize_image(patch, room)
        return result

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context windows get, and find the value to fill with: the mean, as images have it."""
        name = self.inputs[0]
        transformer = self.transformer
        channels, height, width = self.blobs[name].shape[1:]
        self.crop_dims = np.array([height, width, channels])
        self.context_pad = context_pad
        self.crop_mean: Array = np.zeros(self.crop_dims, np.float32)
        if context_pad and not 0 < 2 * context_pad < min(height, width):
            raise DataError(f"context_pad must leave room in an input of {height} x {width}. Received: {context_pad}.")
        mean = transformer.mean.get(name)
        if context_pad and mean is not None:
            filled = np.broadcast_to(mean, (channels, height, width))
            if name in transformer.channel_swap:
                filled = filled[np.argsort(transformer.channel_swap[name])]
            self.crop_mean = filled.transpose(1, 2, 0) / transformer.raw_scale.get(name, 1.0)


def _with_pixels(patch: Array, image: Array, box: Array) -> Array:
    """The patch of a window; DataError where it has none of the image's pixels."""
    if patch.size == 0:
        raise DataError(
            f"A window must have pixels of its image, {image.shape[0]} x {image.shape[1]} (height x width). "
            f"Received: {tuple(box.tolist())}."
        )
    return patch


def grid_windows(shape: Sequence[int], scales: Sequence[float] = (1, 0.5, 0.25)) -> list[tuple[int, int, int, int]]:
    """Windows of an image of ``shape`` (H, W): for each scale those of that part of its size, half overlapping."""
    windows = []
    for scale in scales:
        if not 0 < scale <= 1:
            raise DataError(f"Scales of a grid of windows lie in (0, 1]. Received: {scale}.")
        height, width = (max(1, round(extent * scale)) for extent in shape[:2])
        for y in _starts(shape[0], height):
            windows += [(y, x, y + height, x + width) for x in _starts(shape[1], width)]
    return windows


def propose_selective_search(filename: Any) -> list[tuple[int, int, int, int]]:
    """Windows that OpenCV's selective search (fast mode) proposes for an image; DataError where it is not there."""
    import cv2

    hold_threads()
    segmentation = getattr(getattr(cv2, "ximgproc", None), "segmentation", None)
    if segmentation is None:
        raise DataError(
            "Selective search needs OpenCV's extra modules: pip install opencv-contrib-python-headless in place of "
            "opencv-python-headless; or give the windows (detect_windows,"
            " --crop_mode list), or use a grid of them (detect_grid, --crop_mode grid)."
        )
    pixels = np.ascontiguousarray((io.load_image(filename)[:, :, ::-1] * 255).astype(np.uint8))
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(pixels)
    search.switchToSelectiveSearchFast()
    return [(int(y), int(x), int(y + h), int(x + w)) for x, y, w, h in search.process()]


def require_selective_search() -> None:
    """Raise DataError where OpenCV has no selective search."""
    import cv2

    if getattr(getattr(cv2, "ximgproc", None), "segmentation", None) is None:
        raise DataError(
            "Selective search needs OpenCV's extra modules: pip install opencv-contrib-python-headless in place of "
            "opencv-python-headless; or give the windows (detect_windows, --crop_mode list), or use a grid of them "
            "(detect_grid, --crop_mode grid)."
        )


def _shown(filename: Any) -> Any:
    """How a detection names its image: the path as a string, or the file object."""
    return str(filename) if isinstance(filename, Path) else filename


def _starts(extent: int, window: int) -> list[int]:
    count = 1 + -(-(extent - window) // max(1, window // 2))
    return sorted({round(start) for start in np.linspace(0, extent - window, count)})


def _widened(box: Array, scale: float) -> NDArray[np.int_]:
    """The box stretched about its centre."""
    half = (box[2:] - box[:2] + 1) / 2
    centre = box[:2] + half
    wide: NDArray[np.int_] = np.round(np.concatenate([centre - scale * half, centre + scale * half])).astype(int)
    return wide
