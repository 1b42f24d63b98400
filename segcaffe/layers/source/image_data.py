"""ImageData: images with a class label each."""

from __future__ import annotations

import numpy as np

from segcaffe.data.lists import Entry, name_and_label, warn_about_missing_labels
from segcaffe.data.loader import Arrays, Random
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import RESIZES, ImageListSource


@register
class ImageData(ImageListSource):
    """Images and their class labels.

    List lines: ``image label``, the label an integer, 0 where there is none. top: images (N, C, H, W), transformed;
    labels (N,). C is 3 (BGR), or 1 with ``is_color: false``; H and W are the crop's, or those of the batch's images.
    Images smaller than the crop are padded with the mean, right and below. ``random_resize_param`` and
    ``random_aspect_ratio_param`` draw what is seen of an image.
    """

    fork_options = RESIZES

    top_count = (2, 2)

    def check(self, entries: list[Entry]) -> None:
        """Each line holds a name, and perhaps an integer."""
        for entry in entries:
            name_and_label(entry, self.where)
        warn_about_missing_labels(entries, self.where)

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The image (C, H, W) and its label ()."""
        name, label = name_and_label(entry, self.where)
        image = self.read_image(name, self.param.image_data_param.is_color, entry)
        return self.transformer.image(image, random), np.array(label, self.dtype)
