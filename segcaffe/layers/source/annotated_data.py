"""AnnotatedData: a database of images with boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.data.annotated import policies
from segcaffe.data.annotated.boxed import WHOLE, Boxed, BoxRows, read_boxed
from segcaffe.data.annotated.sampling import check_samplers, emitted, sample
from segcaffe.data.database import Value
from segcaffe.data.loader import Parts, Random
from segcaffe.data.transformer import View
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import DatabaseSource
from segcaffe.proto.caffe_pb2 import LayerParameter

Array = np.ndarray[Any, Any]


@register
class AnnotatedData(DatabaseSource):
    """AnnotatedDatum messages of an LMDB or LevelDB database, in the order of their keys.   [SSD: Liu et al., 2016].

    tops: data (N, C, H, W); true boxes (1, 1, G, 8) of the batch: item, label, instance, xmin, ymin, xmax, ymax,
    difficult, in parts of the image (one row of -1 where there are none).

    In this order: distort_param changes colours, expand_param puts the image into a larger frame, one of the parts that
    batch_sampler draws is cut out, resize_param gives it its size, noise_param changes pixels, and then it is cropped,
    mirrored and has mean and scale applied. Boxes go along; emit_constraint says which of them survive a crop.
    """

    options_field = "annotated_data_param"
    other_options = ("data_param", "transform_param")
    fork_options = (
        DatabaseSource.fork_options
        | frozenset(f"TransformationParameter.{name}_param" for name in ("resize", "noise", "distort", "expand"))
        | {"TransformationParameter.emit_constraint"}
    )

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """The crop's size or that of resize_param, and the channels that images are forced to have."""
        channels, height, width = super().image_shape(param)
        resized = param.transform_param.resize_param
        if not height and resized:
            height, width = resized[0].height, resized[0].width
        return channels, height, width

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the samplers, open the database and read the first item."""
        self.samplers = list(self.param.annotated_data_param.batch_sampler)
        check_samplers(self.samplers, self.where)
        super().setup(bottom, top)

    def load(self, item: Value, random: Random) -> Parts:
        """The image (C, H, W) and its boxes."""
        options = self.param.transform_param
        boxed = read_boxed(bytes(item.content), self.color, self.where)
        if options.HasField("distort_param") and boxed.image.shape[2] == 3:
            boxed = boxed.with_image(policies.distort(boxed.image, options.distort_param, random))
        if options.HasField("expand_param"):
            mean = self.transformer.mean
            boxed = policies.expand(boxed, options.expand_param, None if mean is None else mean.mean((1, 2)), random)
        boxed = sample(boxed, self.samplers, random)
        size, policy = boxed.image.shape[:2], None
        if options.resize_param:
            policy = policies.drawn(options.resize_param, random)
            boxed = policies.resize(boxed, policy, random, self.where)
        if options.HasField("noise_param"):
            boxed = boxed.with_image(policies.noise(boxed.image, options.noise_param, random, self.where))
        view, crop = self._crop(boxed, random)
        keep = emitted(boxed.boxes, crop, options.emit_constraint) if options.HasField("emit_constraint") else None
        seen = boxed.part(boxed.image, crop, keep)
        boxes = seen.mirrored() if view.mirror else seen.boxes
        if policy is not None:
            boxes = policies.in_fixed_size(boxes, policy, size, crop, self.where)
        return self.transformer.values(boxed.image, view), BoxRows(seen.facts, boxes, self.dtype)

    def _crop(self, boxed: Boxed, random: Random) -> tuple[View, Array]:
        """What the net sees: in pixels, and in parts of the image."""
        height, width = boxed.image.shape[:2]
        view = self.transformer.view(boxed.image, random)
        if self.transformer.crop and (height < view.height or width < view.width):
            raise DataError(
                f"{self.where}: the image must be at least as large as the crop, {view.height} x {view.width}. "
                f"Received: {height} x {width}."
            )
        crop = WHOLE
        if self.transformer.crop:
            crop = np.array([view.left / width, view.top / height, 0, 0])
            crop[2:] = (view.left + view.width) / width, (view.top + view.height) / height
        return view, crop
