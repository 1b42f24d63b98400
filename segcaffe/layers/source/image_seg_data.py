"""ImageSegData: images with label maps, and the images' sizes."""

from __future__ import annotations

import re

import numpy as np

from segcaffe.data.images import Image
from segcaffe.data.label_images import Labels
from segcaffe.data.lists import Entry
from segcaffe.data.loader import Arrays, Random
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import ImageListSource, log
from segcaffe.proto import caffe_pb2

_NONE = caffe_pb2.ImageDataParameter.NONE
_PIXEL = caffe_pb2.ImageDataParameter.PIXEL


@register
class ImageSegData(ImageListSource):
    """Images, label maps and image sizes.

    top: images (N, C, H, W), transformed; label maps (N, 1, H, W), raw; and, if there is a third top, (N, 1, 1, 2):
    each image's height and width before padding, at most those of the crop.

    ``label_type`` says what follows the image's name in a line: PIXEL, the name of a label map; IMAGE (default), an
    integer that fills the map; NONE, nothing, the map is ``ignore_label`` throughout. Pairs smaller than the crop are
    padded right and below: images with the mean, label maps with ``ignore_label``. ``scale_factors`` in
    ``transform_param`` resizes each pair by a factor drawn from them.
    """

    options_field = "image_data_param"
    dialects = "v1, v2, deeplab"
    top_count = (2, 3)
    size_top = 2

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the options suit, then as any list of images."""
        transform = self.param.transform_param
        if transform.HasField("mean_file"):
            raise DataError(f"{self.where}: takes mean_value, not mean_file: images may differ in size.")
        self.label_type = self.param.image_data_param.label_type
        super().setup(bottom, top)

    def check(self, entries: list[Entry]) -> None:
        """Each line has what label_type asks for."""
        if self.label_type == _NONE:
            return
        for entry in entries:
            if len(entry.words) < 2:
                second = "the name of a label map" if self.label_type == _PIXEL else "an integer label"
                raise DataError(
                    f"{self.where}: {entry.place}: a line must hold the name of an image and {second} "
                    f'(or set label_type: NONE). Received: "{entry.text}".'
                )
        if self.label_type == _PIXEL:
            self.warn_about_resized_labels()
        else:
            self._check_integers(entries)

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The image (C, H, W), its label map (1, H, W) and its size (1, 1, 2)."""
        words, param = entry.words, self.param.image_data_param
        image = self.read_image(words[0], param.is_color, entry)
        label = self._label(image, words, entry)
        size = image.shape[:2]
        values, labels = self.transformer.pair(image, label, random, param.ignore_label)
        limit = self.transformer.crop or size
        return values, labels, np.minimum(size, limit).astype(self.dtype).reshape(1, 1, 2)

    def _label(self, image: Image, words: list[str], entry: Entry) -> Labels:
        if self.label_type == _PIXEL:
            label = self.read_label(words[1], False, entry)
            self.check_sizes([image, label], words[:2], entry)
            return label
        value = self.param.image_data_param.ignore_label if self.label_type == _NONE else _leading_integer(words[1])
        return np.full((*image.shape[:2], 1), value, np.int32)

    def _check_integers(self, entries: list[Entry]) -> None:
        """A line with a name instead of an integer: an error if label_type asks for integers, else a warning."""
        wrong = next((entry for entry in entries if not re.fullmatch(r"[-+]?\d+", entry.words[1])), None)
        if wrong is None:
            return
        problem = (
            f'{self.where}: {wrong.place}: label_type IMAGE takes an integer after the name. Received: "{wrong.text}".'
        )
        if self.param.image_data_param.HasField("label_type"):
            raise DataError(f"{problem} Write label_type: PIXEL for label maps.")
        log.warning(
            "%s label_type is not set, and IMAGE is its default: the label maps will not be read and their labels are "
            "0. Write label_type: PIXEL to read them.",
            problem,
        )


def _leading_integer(word: str) -> int:
    """The integer a word starts with, 0 if none, as C reads it."""
    match = re.match(r"[-+]?[0-9]{1,18}", word)
    return int(match.group()) if match else 0
