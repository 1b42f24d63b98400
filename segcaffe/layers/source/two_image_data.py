"""TwoImageData: pairs of images, such as a photograph and its label map."""

from __future__ import annotations

from segcaffe.data.label_images import ColourError, Labels
from segcaffe.data.lists import Entry, read_stream
from segcaffe.data.loader import Arrays, Random
from segcaffe.data.transformer import crop_size
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import ImageListSource, log
from segcaffe.proto.caffe_pb2 import LayerParameter


@register
class TwoImageData(ImageListSource):
    """Pairs of images, cropped and mirrored together.

    The list is a stream of names, ``image label``; line ends are spaces.
    top: images (N, C, H, W), transformed; label maps (N, K, H, W), raw values.
    C and K are 3 (BGR) or 1 by ``two_image_data_param``: ``first_is_color`` (default true), ``second_is_color``
    (default false). H and W are the crop's; without one, those of the batch, whose images must then be of one size.
    Smaller pairs are padded right and below: images with the mean, label maps with 255. Gray label maps are read as
    stored, palette images as indices; colours are an
    error, but their brightness is taken (with a warning) where first_is_color is false too: two gray pictures.
    """

    top_count = (2, 2)
    told = False

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """The first images'."""
        return 3 if param.two_image_data_param.first_is_color else 1, *crop_size(param.transform_param)

    def entries(self, source: str) -> list[Entry]:
        """Pairs of names, in one line or not."""
        return read_stream(source, 2, "the names of an image and of its label map", self.where)

    def check(self, entries: list[Entry]) -> None:
        """Nothing is wrong with names; labels may be resized."""
        self.warn_about_resized_labels()

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The image (C, H, W) and its label map (K, H, W)."""
        names, options = entry.words, self.param.two_image_data_param
        image = self.read_image(names[0], options.first_is_color, entry)
        label = self._second(names[1], entry)
        self.check_sizes([image, label], names, entry)
        return self.transformer.pair(image, label, random)

    def _second(self, name: str, entry: Entry) -> Labels:
        options = self.param.two_image_data_param
        try:
            return self.read_label(name, options.second_is_color, entry)
        except ColourError:
            if options.first_is_color:
                raise
        if not self.told:
            self.told = True
            log.warning('%s: %s: "%s" is in colour; its brightness is taken.', self.where, entry.place, name)
        return self.read_image(name, False, entry)
