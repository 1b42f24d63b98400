"""FourImageData: two images and two label maps an item."""

from __future__ import annotations

import numpy as np

from segcaffe.data.lists import Entry, read_stream
from segcaffe.data.loader import Arrays, Random
from segcaffe.data.transformer import crop_size
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import ImageListSource
from segcaffe.proto.caffe_pb2 import LayerParameter


@register
class FourImageData(ImageListSource):
    """Two images and two label maps, cropped and mirrored together, each pair joined along the channels.

    The list is a stream of names, ``image1 image2 label1 label2``. top: (N, C1 + C2, H, W), transformed, and
    (N, K1 + K2, H, W), raw. Colour flags in ``four_image_data_param``: first and second default true, third and fourth
    false. There is one mean_value, or as many as the images have channels. Sizes and padding as in `TwoImageData`.
    """

    top_count = (2, 2)

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """Both images together."""
        options = param.four_image_data_param
        channels = sum(3 if color else 1 for color in (options.first_is_color, options.second_is_color))
        return channels, *crop_size(param.transform_param)

    def entries(self, source: str) -> list[Entry]:
        """Fours of names, in one line or not."""
        return read_stream(source, 4, "the names of two images and of two label maps", self.where)

    def check(self, entries: list[Entry]) -> None:
        """Nothing is wrong with names; labels may be resized."""
        self.warn_about_resized_labels()

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The images (C1 + C2, H, W) and the label maps (K1 + K2, H, W)."""
        names, options = entry.words, self.param.four_image_data_param
        images = [
            self.read_image(names[0], options.first_is_color, entry),
            self.read_image(names[1], options.second_is_color, entry),
            self.read_label(names[2], options.third_is_color, entry),
            self.read_label(names[3], options.fourth_is_color, entry),
        ]
        self.check_sizes(images, names, entry)
        return self.transformer.pair(np.dstack(images[:2]), np.dstack(images[2:]), random)
