"""TwoImageData: pairs of images, such as a photograph and its label map."""

from __future__ import annotations

from segcaffe.data.lists import Entry, columns
from segcaffe.data.loader import Arrays, Random
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import ImageListSource


@register
class TwoImageData(ImageListSource):
    """Pairs of images, cropped and mirrored together.

    List lines: ``image label``. top: images (N, C, H, W), transformed; label maps (N, K, H, W), raw values.
    C and K are 3 (BGR) or 1 by ``two_image_data_param``: ``first_is_color`` (default true), ``second_is_color``
    (default false). H and W are the crop's; without one, those of the batch, whose images must then be of one size.
    Smaller pairs are padded right and below: images with the mean, label maps with 255. Gray label maps are read as
    stored, palette PNGs as indices.
    """

    top_count = (2, 2)

    def check(self, entries: list[Entry]) -> None:
        """Each line holds two names."""
        for entry in entries:
            columns(entry, 2, "the names of an image and of its label map", self.where)
        self.warn_about_resized_labels()

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The image (C, H, W) and its label map (K, H, W)."""
        names, options = entry.words, self.param.two_image_data_param
        image = self.read_image(names[0], options.first_is_color, entry)
        label = self.read_label(names[1], options.second_is_color, entry)
        self.check_sizes([image, label], names, entry)
        return self.transformer.pair(image, label, random)
