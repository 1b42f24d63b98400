"""MatRead: MATLAB files as blobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segcaffe.data.loader import Arrays, BatchLoader, ListFeed, Random
from segcaffe.data.mat import file_ids, read_mat
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import PrefetchingSource
from segcaffe.proto.encoding import to_native


@register
class MatRead(PrefetchingSource):
    """Reads top i of each item from ``<prefix><id>_blob_<i>.mat``, as `MatWrite` writes them.

    top: any number, (batch_size, C, H, W), from variables ``data`` of W x H x C (x 1). Ids are the words of
    ``source``, in order, again and again.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ids and the first files' shapes."""
        param = self.param.mat_read_param
        self.num_tops = len(top)
        feed = ListFeed(file_ids(to_native(param.source), param.strip, self.where), shuffle=False)
        self.start(BatchLoader(feed, self.load, param.batch_size, self.where), top)

    def load(self, file_id: str, random: Random) -> Arrays:
        """The arrays (C, H, W) of one id's files."""
        prefix = to_native(self.param.mat_read_param.prefix)
        return tuple(self._read(Path(f"{prefix}{file_id}_blob_{index}.mat")) for index in range(self.num_tops))

    def _read(self, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = read_mat(path, self.where)
        if values.shape[0] != 1:
            raise DataError(f'{self.where}: "{path}" must hold one item, W x H x C x 1. Received: {values.T.shape}.')
        return np.ascontiguousarray(values[0])
