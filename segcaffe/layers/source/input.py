"""Input: blobs the user fills."""

from __future__ import annotations

from segcaffe.layers.base import Blobs, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.source.base import SourceLayer
from segcaffe.threads import recording


@register
class Input(SourceLayer):
    """Tops of the shapes in ``input_param``, whose values the user writes.

    top: any number; ``input_param.shape`` is given once for all, or once for each. The user may reshape a top; it
    keeps that shape.
    """

    data = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their first shapes."""
        shapes = self.param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise self.fail(
                f"input_param needs one shape for all tops or one for each of the {len(top)}", f"{len(shapes)} shapes"
            )
        for index, blob in enumerate(top[: len(top) if shapes else 0]):
            blob.reshape(*shapes[index if len(shapes) > 1 else 0].dim)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """The values are there already."""
        recording.nothing()
