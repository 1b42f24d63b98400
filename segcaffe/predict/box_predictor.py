"""Boxes in an image: resized to the net's input, run through a detector, brought back to the image's pixels."""

from __future__ import annotations

import numpy as np

from segcaffe.data.annotated.boxed import Boxed
from segcaffe.data.annotated.policies import resize as resize_as
from segcaffe.data.images import Image, resize
from segcaffe.detection.boxes import areas
from segcaffe.detection.in_image import in_pixels
from segcaffe.errors import GraphError
from segcaffe.predict.deploy import box_blob
from segcaffe.predict.loaded import Array, LoadedNet
from segcaffe.proto.caffe_pb2 import ResizeParameter

FOUND = 6
"""Numbers of a box that was found: label, score, xmin, ymin, xmax, ymax."""
_ROW = 7
_NO_BOXES = np.empty((0, 4))


class BoxPredictor(LoadedNet):
    """A net that finds boxes, and its weights.

    Images are stretched to the net's input, or brought to it as the file's ``resize_param`` says.
    """

    def answering_blob(self) -> str:
        """The rows of the last layer that detects."""
        return box_blob(self.deployed.net.message)

    def answer(self, image: Image) -> Array:
        """The boxes that the net finds, the best first: (K, 6) of label, score, and corners in pixels of the image.

        They are cut at the image's border; what lies outside of it is left out.
        """
        size = image.shape[0], image.shape[1]
        policy = self._policy()
        resized = self._resized(image, policy)
        self.resize_input(*resized.shape[:2])
        self.input.data[0] = self.prepared(resized)
        self.net.forward()
        rows = self.net.blobs[self.blob].data
        if rows.ndim < 2 or rows.shape[-1] < _ROW:
            raise GraphError(
                f'blob "{self.blob}" must hold rows of {_ROW} numbers or more: item, label, score, xmin, ymin, xmax, '
                f"ymax. Received: {rows.shape}."
            )
        rows = rows.reshape(-1, rows.shape[-1])[:, :_ROW]
        rows = rows[(rows[:, 1] >= 0) & np.isfinite(rows[:, 2:]).all(axis=1)]
        boxes = in_pixels(rows[:, 3:].astype(np.float64), size, policy)
        found = np.concatenate([rows[:, 1:3], boxes], axis=1)[areas(boxes) > 0]
        return np.asarray(found[np.argsort(-found[:, 1], kind="stable")])

    def _policy(self) -> ResizeParameter | None:
        """How the file says that images are resized, at the size that was asked for."""
        if self.deployed.resize is None or self.settings.size is None:
            return self.deployed.resize
        policy = ResizeParameter()
        policy.CopyFrom(self.deployed.resize)
        policy.height, policy.width = self.settings.size
        return policy

    def _resized(self, image: Image, policy: ResizeParameter | None) -> Array:
        if policy is None:
            return resize(image, *self.size)
        facts = Boxed(image, np.empty((0, 3)), _NO_BOXES)
        # Where several ways to interpolate are named, every image gets the same one.
        return resize_as(facts, policy, np.random.default_rng(0), f'input "{self.deployed.image}"').image
