"""Data: a database of images."""

from __future__ import annotations

import numpy as np

from segcaffe.data.database import Database, Value, Values
from segcaffe.data.datum import datum_array, decode_datum, split_datum
from segcaffe.data.loader import Arrays, BatchLoader, Random
from segcaffe.data.transformer import Transformer, crop_size
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import PrefetchingSource
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.proto.encoding import to_native


@register
class Data(PrefetchingSource):
    """Datum messages of an LMDB or LevelDB database, in the order of their keys.

    top: data (N, C, H, W), transformed; and, if there is a second top, labels (N,). A Datum holds raw bytes, floats,
    or an encoded image, which is decoded as it was stored unless ``force_color`` or ``force_gray`` is set.
    ``rand_skip`` starts at a random one of the first items.
    """

    other_options = ("transform_param",)
    top_count = (1, 2)

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """The crop's size, and the channels that images are forced to have."""
        options = param.transform_param
        return 1 if options.force_gray else 3 if options.force_color else 0, *crop_size(options)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the database and read the first item."""
        param, transform = self.param.data_param, self.param.transform_param
        self.transformer = Transformer(transform, self.phase, self.where, self.dtype)
        if transform.force_color and transform.force_gray:
            raise DataError(f"{self.where}: transform_param takes force_color or force_gray, not both.")
        forced = transform.force_color or transform.force_gray or param.force_encoded_color
        self.color = not transform.force_gray if forced else None
        database = Database(to_native(param.source), param.backend, self.where)
        loader = BatchLoader(Values(database), self.load, param.batch_size, self.where, depth=param.prefetch)
        if param.rand_skip:
            loader.skip_randomly(param.rand_skip, database.count())
        self.start(loader, top)

    def load(self, item: Value, random: Random) -> Arrays:
        """The values (C, H, W) and the label ()."""
        datum, data = split_datum(item.content, self.where)
        label = np.array(datum.label, self.dtype)
        if datum.encoded:
            return self.transformer.image(decode_datum(bytes(data), self.color, self.where), random), label
        return self.transformer.datum(datum_array(datum, self.where, data), random), label
