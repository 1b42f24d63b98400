"""Scores of an image: padded, run through the net, resized and cropped back, averaged over scales and mirroring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.convert import formats
from segcaffe.data.images import Image, resize
from segcaffe.errors import DataError, GraphError
from segcaffe.net.net import Net
from segcaffe.predict.deploy import Deployed, deploy
from segcaffe.predict.notes import read_notes
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from segcaffe.weights.completeness import load_all

Array = NDArray[Any]

MEAN = (104.008, 116.669, 122.675)
"""Mean of natural images, B, G, R, as the paper's data layers subtract it."""


@dataclass(frozen=True)
class Settings:
    """How images meet the net.

    Attributes
    ----------
    blob:
        Name of the scores; by default the net's only output of more than one channel.
    mean, scale:
        Values are (pixel - mean) * scale; by default what the file says (see `Deployed`), or `MEAN` and 1 where it
        says nothing. The mean is in the net's order of channels.
    size:
        Height and width that images are padded to, right and below, with the mean; by default those the net names.
    step:
        A larger image is padded to the size plus the smallest multiple of this that holds it.
    scales:
        Factors at which the image is run.
    mirror:
        Whether it is also run mirrored.
    """

    blob: str = ""
    mean: tuple[float, ...] = ()
    scale: float | None = None
    size: tuple[int, int] | None = None
    step: int = 32
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.step < 1:
            raise DataError(f"step must be at least 1. Received: {self.step}.")
        if not self.scales or min(self.scales) <= 0:
            raise DataError(f"scales must be positive. Received: {self.scales}.")


class Predictor:
    """A net and its weights, for images of any size.

    Parameters
    ----------
    net_file:
        A deploy file, or a train or test file (see `deploy`).
    weights:
        Files of weights, loaded one after the other.
    settings:
        How images meet the net.
    variables:
        Values of ``${NAME}`` templates.
    allow_partial:
        Whether layers may keep random values because the weights do not have them; see `load_all`.

    Attributes
    ----------
    assumed:
        Whether the file does not say how images are prepared, so that `MEAN` is subtracted unasked.
    incomplete:
        A warning that names the layers without weights, or nothing.
    notes:
        Class names, palette and order of channels, of the file's comments.
    """

    def __init__(
        self,
        net_file: str | Path,
        weights: Sequence[str | Path],
        settings: Settings | None = None,
        variables: dict[str, str] | None = None,
        level: int = 0,
        stages: Sequence[str] = (),
        allow_partial: bool = False,
    ) -> None:
        self.settings = settings or Settings()
        self.notes = read_notes(net_file, variables)
        stored = {str(path): formats.load(path) for path in weights}
        self.deployed: Deployed = deploy(read_net(net_file, variables), level, stages, list(stored.values()))
        keep = [self.settings.blob] if self.settings.blob else []
        self.net = Net(self.deployed.net, caffe_pb2.TEST, level, list(stages), share_memory=True, keep=keep)
        self.incomplete = load_all(self.net.layer_list, stored, allow_partial)
        self.input = self.net.blobs[self.deployed.image]
        if self.input.ndim != 4 or self.input.shape[0] != 1:
            self._take_one_image()
        if self.input.shape[1] not in (1, 3):
            raise GraphError(
                f'input "{self.deployed.image}" must have 1 channel (gray) or 3. Received: {self.input.shape}.'
            )
        self.blob = self.settings.blob or self._only_score()
        self.size = self.settings.size or self.input.shape[2:]
        self.mean, self.scale = self._transformation()
        if self.blob not in self.net.blobs:
            raise GraphError(f'the net has no blob "{self.blob}". Its outputs: {", ".join(self.net.outputs)}.')

    @property
    def color(self) -> bool:
        """Whether the net takes images of three channels."""
        return self.input.shape[1] == 3

    def scores(self, image: Image) -> NDArray[np.float32]:
        """Scores (classes, H, W) of an image (H, W, C), BGR or gray: the mean over scales and mirroring."""
        height, width = image.shape[:2]
        runs = [
            (scale, mirror) for scale in self.settings.scales for mirror in (False, True)[: 1 + self.settings.mirror]
        ]
        total: Array | None = None
        for scale, mirror in runs:
            scaled = resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
            part = self._run(scaled[:, ::-1] if mirror else scaled)
            part = resize_scores(part[:, :, ::-1] if mirror else part, height, width)
            total = part if total is None else total + part
        assert total is not None
        return np.asarray(total / len(runs), np.float32)

    def _run(self, image: Image) -> Array:
        """Scores of one image as it is."""
        rows, cols = image.shape[:2]
        height, width = (
            size + max(0, -(-(extent - size) // self.settings.step)) * self.settings.step
            for size, extent in zip(self.size, (rows, cols), strict=True)
        )
        if self.input.shape[2:] != (height, width):
            self.input.reshape(1, self.input.shape[1], height, width)
            self.net.reshape()
        values = self.input.data
        values[...] = 0
        if self.notes.rgb:
            image = image[:, :, ::-1]
        values[0, :, :rows, :cols] = ((image - self.mean) * self.scale).transpose(2, 0, 1)
        if self.deployed.image_size:
            self.net.blobs[self.deployed.image_size].data[...] = np.reshape((rows, cols), (1, 1, 1, 2))
        self.net.forward()
        scores = self.net.blobs[self.blob].data
        if scores.ndim != 4 or scores.shape[0] != 1 or scores.shape[1] < 2:
            raise GraphError(
                f'blob "{self.blob}" must hold scores (1, classes, H, W) of at least two classes. '
                f"Received: {scores.shape}."
            )
        # A copy: the next run overwrites the blob.
        cropped: Array = resize_scores(scores[0], height, width)[:, :rows, :cols].copy()
        return cropped

    def _take_one_image(self) -> None:
        if self.input.ndim != 4:
            raise GraphError(
                f'input "{self.deployed.image}" must have the shape (1, channels, H, W). Received: {self.input.shape}.'
            )
        self.input.reshape(1, *self.input.shape[1:])
        self.net.reshape()

    def _only_score(self) -> str:
        found = [name for name in self.net.outputs if self.net.blobs[name].ndim == 4]
        found = [name for name in found if self.net.blobs[name].shape[1] > 1 and name != self.deployed.image]
        if len(found) == 1:
            return found[0]
        raise GraphError(
            "which blob holds the scores (1, classes, H, W)? Name it with --blob. Outputs with several "
            f"channels: {', '.join(found) or 'none'}; all outputs: {', '.join(self.net.outputs)}."
            + ("" if found else " For a net that has one answer for an image there is `segcaffe classify`.")
        )

    def _transformation(self) -> tuple[NDArray[np.float32], np.float32]:
        """The mean, one value or one for each channel, and the scale."""
        channels = self.input.shape[1]
        self.assumed = channels == 3 and not (self.settings.mean or self.deployed.stated)
        assumed = (MEAN[::-1] if self.notes.rgb else MEAN) if self.assumed else ()
        mean = self.settings.mean or tuple(self.deployed.mean) or assumed
        if len(mean) not in (0, 1, channels):
            raise DataError(f"there is one mean value, or {channels}. Received: {mean}.")
        scale = self.settings.scale if self.settings.scale is not None else self.deployed.scale
        return np.array(mean or (0.0,), np.float32), np.float32(scale)


def resize_scores(scores: Array, height: int, width: int) -> Array:
    """Scores (classes, H, W) at another size, bilinear with aligned corners, as the layer Interp does."""
    if scores.shape[1:] == (height, width):
        return scores
    rows, cols = _weights(scores.shape[1], height), _weights(scores.shape[2], width)
    resized: Array = rows @ (scores @ cols.T)
    return resized


def _weights(size: int, out: int) -> NDArray[np.float32]:
    """The matrix (out, size) of bilinear interpolation: output i lies at i * (size - 1) / (out - 1)."""
    place = np.arange(out) * ((size - 1) / max(out - 1, 1))
    low = np.minimum(place.astype(np.int64), max(size - 2, 0))
    weights = np.zeros((out, size), np.float32)
    index = np.arange(out)
    weights[index, low] = 1 - (place - low)
    weights[index, np.minimum(low + 1, size - 1)] += (place - low).astype(np.float32)
    return weights
