"""Data: a database of images."""

from __future__ import annotations

import numpy as np

from segcaffe.data.database import Value
from segcaffe.data.datum import datum_array, decode_datum, split_datum
from segcaffe.data.loader import Arrays, Random
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import RESIZES, DatabaseSource


@register
class Data(DatabaseSource):
    """Datum messages of an LMDB or LevelDB database, in the order of their keys.

    top: data (N, C, H, W), transformed; and, if there is a second top, labels (N,). A Datum holds raw bytes, floats,
    or an encoded image, which is decoded as it was stored unless ``force_color`` or ``force_gray`` is set.
    ``rand_skip`` starts at a random one of the first items, and with ``shuffle`` each epoch of an LMDB database has an
    order of its own. ``random_resize_param`` and ``random_aspect_ratio_param`` draw what is seen of an image.
    """

    other_options = ("transform_param",)
    fork_options = DatabaseSource.fork_options | RESIZES

    def load(self, item: Value, random: Random) -> Arrays:
        """The values (C, H, W) and the label ()."""
        datum, data = split_datum(item.content, self.where)
        label = np.array(datum.label, self.dtype)
        if datum.encoded:
            return self.transformer.image(decode_datum(bytes(data), self.color, self.where), random), label
        return self.transformer.datum(datum_array(datum, self.where, data), random), label
