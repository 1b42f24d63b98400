"""FloData: optical flow."""

from __future__ import annotations

from segcaffe.data.flow import read_flo
from segcaffe.data.lists import Entry, read_stream
from segcaffe.data.loader import Arrays, BatchLoader, ListFeed, Random
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import PrefetchingSource
from segcaffe.proto.encoding import to_native


@register
class FloData(PrefetchingSource):
    """Optical flow from .flo files: top (N, 2, H, W), horizontal then vertical displacement, in pixels.

    ``image_data_param.source`` lists the files, whitespace between them; ``root_folder``, ``batch_size``,
    ``shuffle`` and ``rand_skip`` are as in `ImageData`; nothing is cropped or scaled.
    """

    options_field = "image_data_param"
    dialects = "v2"
    top_count = (1, 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the list and the first file's size."""
        param = self.param.image_data_param
        files = read_stream(to_native(param.source), 1, "the names of .flo files", self.where)
        loader = BatchLoader(ListFeed(files, param.shuffle), self.load, param.batch_size, self.where)
        loader.skip_randomly(param.rand_skip, len(files))
        self.start(loader, top)

    def load(self, entry: Entry, random: Random) -> Arrays:
        """The flow (2, H, W) of one file."""
        return (
            read_flo(to_native(self.param.image_data_param.root_folder) + entry.text, f"{self.where}: {entry.place}"),
        )
