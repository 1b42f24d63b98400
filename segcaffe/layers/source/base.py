"""What layers that bring values into the net have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from segcaffe.data.loader import Share
from segcaffe.layers.base import Blobs, Count, Layer
from segcaffe.parallel import group
from segcaffe.proto.caffe_pb2 import LayerParameter


class SourceLayer(Layer):
    """A layer without bottoms. `setup` opens everything and knows the tops' shapes; `forward` takes the next batch.

    A source that goes through data in an order can be stopped and continued: `state` before, `restore` after.
    """

    bottom_count = (0, 0)
    top_count: ClassVar[Count] = (1, None)
    source = True
    gradient_to = ()
    data: ClassVar[bool] = True
    """Whether it brings data, in whose place a net for prediction has an input."""
    shared_out: ClassVar[bool] = False
    """Whether processes that train together share out its items, so that its state is one for all of them."""
    size_top: ClassVar[int | None] = None
    """The top that has each image's height and width, if there are so many tops."""

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """Channels, height and width of the first top's images; 0 where the options do not say."""
        return 0, 0, 0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing depends on bottoms; tops keep the shape that `setup` or the last batch gave them."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to send back."""

    def share(self, by_batch: bool = False) -> Share:
        """Which items are this process's: in training its part, in a test all, or its batches where those are shared.

        Parameters
        ----------
        by_batch:
            Whether processes take whole batches of the items, and not one item after the other.
        """
        ranks = group()
        if ranks.options.whole_batches:
            return Share(ranks.rank, ranks.size, by_batch=True)
        if self.training:
            return Share(ranks.rank, ranks.size, by_batch)
        return Share(ranks.rank, ranks.size, by_batch=True) if ranks.options.share_tests else Share()

    def take(self, share: Share) -> None:
        """From now on bring other items than `share` said, where it matters which."""

    def state(self) -> dict[str, Any]:
        """Where the source stands, as values JSON can hold; empty for sources that have no order."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` gave: the batches that follow are those an unstopped run would see."""

    def close(self) -> None:
        """Release files and threads; the layer can't be run afterwards."""
