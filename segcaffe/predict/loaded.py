"""A net with its weights, ready for one image at a time: how images are prepared, which the file or options say."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.convert import formats
from segcaffe.data.images import Image
from segcaffe.errors import DataError, GraphError, ShapeError
from segcaffe.net.net import Net
from segcaffe.predict.deploy import Deployed, deploy
from segcaffe.predict.notes import read_notes
from segcaffe.predict.pictures import Picture
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from segcaffe.weights.completeness import load_all, warning

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
    weights_dtype:
        "float16" to keep weights in half precision (see `Net`).
    """

    blob: str = ""
    mean: tuple[float, ...] = ()
    scale: float | None = None
    size: tuple[int, int] | None = None
    step: int = 32
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    weights_dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.step < 1:
            raise DataError(f"step must be at least 1. Received: {self.step}.")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise DataError(f"scales must be positive. Received: {self.scales}.")


class LoadedNet(ABC):
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
        kept = self.kept_blobs()
        self.net = Net(
            *(self.deployed.net, caffe_pb2.TEST, level, list(stages)),
            share_memory=True,
            keep=kept,
            weights_dtype=self.settings.weights_dtype,
        )
        layers = self.net.layer_list
        self.incomplete = load_all(layers, stored, allow_partial) if stored else warning(layers, ())
        self.input = self.net.blobs[self.deployed.image]
        if self.input.ndim != 4 or self.input.shape[0] != 1:
            self._take_one_image()
        if self.input.shape[1] not in (1, 3):
            raise GraphError(
                f'input "{self.deployed.image}" must have 1 channel (gray) or 3. Received: {self.input.shape}.'
            )
        self.blob = self.settings.blob or self.answering_blob()
        self.size = self.settings.size or self.input.shape[2:]
        self.mean, self.scale = self._transformation()
        if self.blob not in self.net.blobs:
            raise GraphError(f'the net has no blob "{self.blob}". Its outputs: {", ".join(self.net.outputs)}.')

    def kept_blobs(self) -> list[str]:
        """Blobs that are read besides the net's outputs."""
        return [self.settings.blob] if self.settings.blob else []

    @abstractmethod
    def answering_blob(self) -> str:
        """The blob that has the answer, where the settings name none."""

    @abstractmethod
    def answer(self, image: Image) -> Array:
        """What the net says of an image (H, W, C), BGR or gray."""

    def answer_picture(self, picture: Picture, image: Image) -> Array:
        """What the net says of an image that was read from a picture's file."""
        return self.answer(image)

    @property
    def color(self) -> bool:
        """Whether the net takes images of three channels."""
        return self.input.shape[1] == 3

    def resize_input(self, height: int, width: int) -> None:
        """Bring the net to images of this size.

        Raises ShapeError where a layer states a size of its own, as the positions of a CRF do; the net keeps its size.
        """
        before = self.input.shape
        if before[2:] == (height, width):
            return
        try:
            self._reshape_input(1, before[1], height, width)
        except ShapeError as error:
            self._reshape_input(*before)
            rows, cols = before[2:]
            raise ShapeError(
                f"the net cannot be brought from images of {rows} x {cols} to {height} x {width} (rows x columns, "
                f"padded): {error.text()} Layers that state sizes of their own (DummyData, Interp, a CRF's positions) "
                f"fit one size. Give images of up to {rows} x {cols}, or change the sizes in the prototxt.",
                layer=error.layer,
                place=error.place,
            ) from error

    def _reshape_input(self, *shape: int) -> None:
        self.input.reshape(*shape)
        self.net.reshape()

    def prepared(self, image: Image) -> Array:
        """The values (C, H, W) that an image (H, W, C) has for the net."""
        if self.notes.rgb:
            image = image[:, :, ::-1]
        return np.asarray(((image - self.mean) * self.scale).transpose(2, 0, 1))

    def _take_one_image(self) -> None:
        if self.input.ndim != 4:
            raise GraphError(
                f'input "{self.deployed.image}" must have the shape (1, channels, H, W). Received: {self.input.shape}.'
            )
        self.input.reshape(1, *self.input.shape[1:])
        self.net.reshape()

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
