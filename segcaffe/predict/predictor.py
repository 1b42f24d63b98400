"""Scores of an image: padded, run through the net, resized and cropped back, averaged over scales and mirroring."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import Image, resize
from segcaffe.errors import GraphError
from segcaffe.predict.loaded import LoadedNet

Array = NDArray[Any]


class Predictor(LoadedNet):
    """A net that labels pixels, and its weights."""

    def answer(self, image: Image) -> Array:
        """The scores."""
        return self.scores(image)

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
        self.resize_input(height, width)
        values = self.input.data
        values[...] = 0
        values[0, :, :rows, :cols] = self.prepared(image)
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

    def answering_blob(self) -> str:
        """The only output of several channels."""
        found = [name for name in self.net.outputs if self.net.blobs[name].ndim == 4]
        found = [name for name in found if self.net.blobs[name].shape[1] > 1 and name != self.deployed.image]
        if len(found) == 1:
            return found[0]
        raise GraphError(
            "which blob holds the scores (1, classes, H, W)? Name it with --blob. Outputs with several "
            f"channels: {', '.join(found) or 'none'}; all outputs: {', '.join(self.net.outputs)}."
            + ("" if found else " For a net that has one answer for an image there is `segcaffe classify`.")
        )


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
