"""Boxes in an image by a net that judges regions from elsewhere.   [Fast R-CNN: Girshick, ICCV 2015]."""

from __future__ import annotations

import numpy as np

from segcaffe.data.annotated.regions import Regions
from segcaffe.data.images import Image
from segcaffe.errors import GraphError
from segcaffe.predict.deploy import region_input
from segcaffe.predict.loaded import Array
from segcaffe.predict.pictures import Picture
from segcaffe.predict.region_predictor import RegionPredictor

_AT_ONCE = 1000
"""Regions that go through the net together: what it makes of each takes memory."""


class GivenRegionPredictor(RegionPredictor):
    """A net with the inputs image and regions (R, 5): item, corners in pixels of the image as it is resized."""

    regions: Regions | None = None
    """The regions of the images; they must be set before images are answered."""

    def answering_blob(self) -> str:
        """The regions."""
        return region_input(self.deployed.net.message)

    def region_blob(self) -> str:
        """The regions."""
        return self.answering_blob()

    def answer_picture(self, picture: Picture, image: Image) -> Array:
        """The boxes that the net finds in an image, by its regions."""
        if self.regions is None:
            raise GraphError(
                f'the net judges regions that it does not find itself, in its input "{self.blob}": give --rois FILE.'
            )
        return self.answer_regions(image, self.regions.of(picture.id))

    def answer_regions(self, image: Image, regions: Array) -> Array:
        """The boxes (K, 6) that the net finds, the best first, by regions (R, 4) in pixels of the image."""
        if not len(regions):
            return np.empty((0, 6))
        factor = self.take(image)
        blob, parts = self.net.blobs[self.blob], []
        for start in range(0, len(regions), _AT_ONCE):
            some = regions[start : start + _AT_ONCE]
            blob.reshape(len(some), 5)
            self.net.reshape()
            blob.data[:, 0], blob.data[:, 1:] = 0, some * factor
            self.net.forward()
            parts.append(tuple(values.copy() for values in self.outputs(len(some))))
        scores, moves = (np.concatenate(values) for values in zip(*parts, strict=True))
        return self.boxes(regions, scores, moves, (image.shape[0], image.shape[1]))
