"""Boxes in an image by a net that proposes regions and judges each.   [Faster R-CNN: Ren et al., NIPS 2015]."""

from __future__ import annotations

import numpy as np

from segcaffe.data.images import Image, resize
from segcaffe.detection.anchors import shift
from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.errors import GraphError
from segcaffe.predict.deploy import input_blobs, region_blob
from segcaffe.predict.loaded import Array, LoadedNet

SIDES = (600, 1000)
"""Images are resized so that the shorter side is the first, unless the longer one came above the second."""
LEAST_SCORE, OVERLAP, MOST = 0.05, 0.3, 100
"""Of py-faster-rcnn's tests: boxes that score more pass non-maximum suppression; so many of an image are kept."""


class RegionPredictor(LoadedNet):
    """A net with the inputs image and (height, width, scale), and for each region scores of classes and moves of boxes.

    Class 0 is the background. The moves are (R, 4 C), or (R, 8), the last four then for all classes.
    """

    def kept_blobs(self) -> list[str]:
        """The regions, too."""
        return [*super().kept_blobs(), self.region_blob()]

    def answering_blob(self) -> str:
        """The regions."""
        return self.region_blob()

    def region_blob(self) -> str:
        """The blob of regions."""
        return region_blob(self.deployed.net.message)

    def answer(self, image: Image) -> Array:
        """The boxes that the net finds, the best first: (K, 6) of label, score, and corners in pixels of the image."""
        factor = self.take(image)
        self.net.forward()
        regions = self.net.blobs[self.blob].data.reshape(-1, 5)[:, 1:].astype(np.float64) / factor
        scores, moves = self.outputs(len(regions))
        return self.boxes(regions, scores, moves, (image.shape[0], image.shape[1]))

    def take(self, image: Image) -> float:
        """Put an image into the net, and its size where that is an input; the factor by which it was resized."""
        height, width = image.shape[:2]
        least, most = self.settings.size or SIDES
        factor = min(least / min(height, width), most / max(height, width))
        values = self.prepared(image).transpose(1, 2, 0)
        resized = resize(values, max(1, round(height * factor)), max(1, round(width * factor)))
        self.resize_input(*resized.shape[:2])
        self.input.data[0] = resized.transpose(2, 0, 1)
        message = self.deployed.net.message
        sizes = [name for name in input_blobs(message) if self.net.blobs[name].count == 3]
        if sizes:
            self.net.blobs[sizes[-1]].data[...] = np.reshape((*resized.shape[:2], factor), (1, 3))
        elif region_blob(message):
            raise GraphError(
                "a net that proposes regions needs an input (1, 3) for the image's height, width and scale."
            )
        return float(factor)

    def outputs(self, count: int) -> tuple[Array, Array]:
        """Scores (R, C) and moves (R, 4 C): the outputs with a row for each of ``count`` regions."""
        outputs = {name: self.net.blobs[name].data for name in self.net.outputs}
        rows = [values.reshape(count, -1) for values in outputs.values() if values.shape[:1] == (count,)]
        rows.sort(key=lambda values: values.shape[1])
        if len(rows) == 2:
            scores, moves = rows
            if moves.shape[1] == 4 * scores.shape[1]:
                return scores, moves
            if moves.shape[1] == 8:
                return scores, np.tile(moves[:, 4:], scores.shape[1])
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise GraphError(
            f"a net with regions needs the outputs scores (R, C) and moves of boxes (R, 4 C) or (R, 8), for {count} "
            f"regions here. Received: {shapes}."
        )

    def boxes(self, regions: Array, scores: Array, moves: Array, size: tuple[int, int]) -> Array:
        """The boxes (K, 6) of all classes, the best first."""
        last = np.array([size[1] - 1, size[0] - 1] * 2)
        found = [np.empty((0, 6))]
        for label in range(1, scores.shape[1]):
            # Both corners are pixels of the box; afterwards boxes end behind their last pixel.
            boxes = np.clip(shift(regions, moves[:, 4 * label : 4 * label + 4].astype(np.float64)), 0, last)
            boxes += np.array([0, 0, 1, 1])
            kept = suppress(boxes, scores[:, label], Suppression(OVERLAP, score=LEAST_SCORE))
            rows = np.column_stack([np.full(len(kept), label), scores[kept, label], boxes[kept]])
            found.append(rows)
        joined = np.concatenate(found)
        return np.asarray(joined[np.argsort(-joined[:, 1], kind="stable")][:MOST])
