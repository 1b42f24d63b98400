"""DenseImageData: images with label maps, as SegNet and ENet read them."""

from __future__ import annotations

import numpy as np

from segcaffe.data.images import Image, resize_nearest
from segcaffe.data.label_images import Labels
from segcaffe.data.lists import Entry, read_stream
from segcaffe.data.loader import Arrays, Random
from segcaffe.data.transformer import Transformer, crop_size
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import ImageListSource, log
from segcaffe.proto import caffe_pb2


@register
class DenseImageData(ImageListSource):
    """Images and their label maps.

    The list has the names of an image and of its label map, again and again. top: images (N, C, H, W), transformed;
    label maps (N, 1, H, W), raw, read as stored. C is 3 (BGR), or 1 with ``is_color: false``.

    Both are brought to new_height x new_width, images bilinearly, label maps by the nearest value; cut to crop_height x
    crop_width somewhere, in TEST too; and mirrored by chance with ``mirror``. Label maps are label_divide_factor times
    smaller than images. Mean and scale are in transform_param.   [SegNet: Badrinarayanan et al. 2017].
    """

    top_count = (2, 2)
    list_field = "dense_image_data_param"
    other_options = ("transform_param",)

    @classmethod
    def image_shape(cls, param: caffe_pb2.LayerParameter) -> tuple[int, int, int]:
        """The crop, or the size that images are brought to."""
        options = param.dense_image_data_param
        crop = crop_size(param.transform_param)
        height = options.crop_height or crop[0] or options.new_height
        width = options.crop_width or crop[1] or options.new_width
        return 3 if options.is_color else 1, height, width

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the options go together, then as any list of images."""
        options, transform = self.param.dense_image_data_param, self.param.transform_param
        self.check_together("crop_height", "crop_width")
        self.crops = options.crop_height > 0
        self.divisor: int = options.label_divide_factor
        cropped = any(crop_size(transform)) or transform.crop_h > 0
        if self.crops and cropped:
            raise DataError(f"{self.where}: takes a crop in dense_image_data_param or in transform_param, not in both.")
        if self.divisor < 1:
            raise DataError(f"{self.where}: label_divide_factor must be at least 1. Received: {self.divisor}.")
        if self.divisor > 1 and (self.crops or cropped or transform.scale_factors):
            raise DataError(
                f"{self.where}: label_divide_factor makes label maps smaller than images, which then cannot be cut or "
                "scaled alike; take away the crop and scale_factors."
            )
        if options.mean_file:
            log.warning(
                "%s: dense_image_data_param's mean_file is not read, as in SegNet; set transform_param's mean_file.",
                self.where,
            )
        super().setup(bottom, top)

    def make_transformer(self) -> Transformer:
        """Crop and mirror are the transformation's, too; this layer's own crop is random in both phases."""
        options, transform = self.param.dense_image_data_param, caffe_pb2.TransformationParameter()
        transform.CopyFrom(self.param.transform_param)
        transform.mirror = transform.mirror or options.mirror
        if self.crops:
            transform.crop_height, transform.crop_width = options.crop_height, options.crop_width
        return Transformer(transform, caffe_pb2.TRAIN if self.crops else self.phase, self.where, self.dtype)

    def entries(self, source: str) -> list[Entry]:
        """Pairs of names, in one line or not."""
        return read_stream(source, 2, "the names of an image and of its label map", self.where)

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The image (C, H, W) and its label map (1, H, W)."""
        names = entry.words
        image = self.read_image(names[0], self.list_options.is_color, entry)
        label = self._label(names[1], entry)
        if self.divisor > 1:
            return self._divided(image, label, random)
        self.check_sizes([image, label], names, entry)
        crop = self.transformer.crop
        if crop and (image.shape[0] < crop[0] or image.shape[1] < crop[1]):
            raise DataError(
                f"{self.where}: {entry.place}: images must not be smaller than the crop, {crop[0]} x {crop[1]}. "
                f'Received: "{names[0]}" {image.shape[0]} x {image.shape[1]}.'
            )
        return self.transformer.pair(image, label, random)

    def _label(self, name: str, entry: Entry) -> Labels:
        label, options = self.stored_label(name, entry), self.list_options
        height, width = options.new_height or label.shape[0], options.new_width or label.shape[1]
        size = height // self.divisor, width // self.divisor
        if min(size) < 1:
            raise DataError(
                f"{self.where}: {entry.place}: label_divide_factor {self.divisor} leaves nothing of a label map of "
                f"{height} x {width}."
            )
        return resize_nearest(label, *size)

    def _divided(self, image: Image, label: Labels, random: Random) -> Arrays:
        """The image, and the smaller label map mirrored as it is."""
        view = self.transformer.view(image, random)
        mirrored = label[:, ::-1] if view.mirror else label
        return self.transformer.values(image, view), np.ascontiguousarray(mirrored.transpose(2, 0, 1), self.dtype)
