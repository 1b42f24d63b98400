"""Counting labels against predictions, image after image, also by distance to the labels' boundaries."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError
from segcaffe.metrics.segmentation import Agreement
from segcaffe.parallel import Group

Labels = NDArray[np.uint8]

LABELS = 256
_PAIRS = LABELS * LABELS
"""Pairs of a label and a prediction: label * 256 + prediction."""


class Tally:
    """Pixels by label, prediction and band; its size does not depend on the number of images.

    Band w (from 1) holds the pixels whose Euclidean distance to the nearest boundary pixel is at least w - 1 and below
    w. A boundary pixel is one with another label above, below, left or right of it; ignored labels count as labels for
    this, so that the border of void around VOC's objects is a boundary. The trimap of width w is bands 1 to w: at
    width 1 the boundary pixels themselves. Ignored pixels are in no trimap.

    Parameters
    ----------
    bands:
        Number of bands, 0 to leave them out.
    ignore:
        Labels whose pixels do not count.
    """

    def __init__(self, bands: int = 0, ignore: Sequence[int] = (255,)) -> None:
        if not 0 <= bands < LABELS:
            raise DataError(f"a trimap is {LABELS - 1} pixels wide at most. Received: {bands}.")
        self.bands = bands
        self.ignored = np.zeros(LABELS, bool)
        self.ignored[[label for label in ignore if 0 <= label < LABELS]] = True
        self.images = 0
        # One more than the bands: the pixels further away.
        self._counts = np.zeros((bands + 1, _PAIRS), np.int64)
        self._lock = threading.Lock()

    def add(self, label: Labels, prediction: Labels) -> None:
        """Count an image, (H, W) both; may be called in several threads."""
        pairs = label.astype(np.uint16) << 8 | prediction
        counted = ~self.ignored[label]
        present = np.flatnonzero(np.bincount(pairs[counted], minlength=_PAIRS))
        numbers = np.zeros(_PAIRS, np.uint16)
        numbers[present] = np.arange(len(present))
        places = numbers[pairs].astype(np.int32)
        if self.bands:
            places += band_of(label, self.bands).astype(np.int32) * len(present)
        found = np.bincount(places[counted], minlength=(self.bands + 1) * len(present))
        with self._lock:
            self._counts[:, present] += found.reshape(self.bands + 1, len(present))
            self.images += 1

    def join(self, ranks: Group) -> None:
        """Count the images of all processes that work together, each of which calls it."""
        if not ranks.joint:
            return
        met = np.flatnonzero(self._counts.any(axis=0))
        own = self.images, met, self._counts[:, met]
        self.images, self._counts[...] = 0, 0
        for images, pairs, counts in ranks.gather(own):
            self.images += images
            self._counts[:, pairs] += counts

    def classes(self) -> int:
        """One more than the largest label or prediction met, ignored labels apart."""
        pairs = np.flatnonzero(self._counts.any(axis=0))
        seen = np.concatenate([pairs >> 8, pairs & 255])
        return int(seen[~self.ignored[seen]].max(initial=-1)) + 1

    def agreement(self, classes: int, width: int | None = None) -> Agreement:
        """The agreement over all pixels, or in the trimap of that width.

        Raises
        ------
        DataError
            A label is not below ``classes``.
        """
        table = self._counts[: self.bands + 1 if width is None else width].sum(axis=0).reshape(256, 256)
        if table[classes:].any():
            largest = int(np.flatnonzero(table.any(axis=1)).max())
            raise DataError(
                f"labels must be below {classes}, the number of classes, or ignored. Received: {largest}. "
                "Use --ignore for labels that do not count."
            )
        other = table[:classes, classes:].sum(axis=1, keepdims=True)
        return Agreement(np.hstack([table[:classes, :classes], other]))


def band_of(label: NDArray[Any], bands: int) -> NDArray[np.uint8]:
    """For each pixel (H, W) its band, counted from 0; ``bands`` for those further away. See `Tally`."""
    import cv2

    hold_threads()
    inside = np.ones(label.shape, np.uint8)
    across, down = label[:, 1:] == label[:, :-1], label[1:] == label[:-1]
    inside[:, 1:] &= across
    inside[:, :-1] &= across
    inside[1:] &= down
    inside[:-1] &= down
    if inside.all():
        return np.full(label.shape, bands, np.uint8)
    distance: NDArray[np.float32] = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    nearest: NDArray[np.uint8] = np.minimum(distance, np.float32(bands)).astype(np.uint8)
    return nearest
