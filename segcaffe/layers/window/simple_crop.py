"""SimpleCrop: the upper left part of an image, as large as another."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.padded import Margins, Padded


@register
class SimpleCrop(Padded):
    """Cuts rows below and columns on the right off the first bottom, to the size of the second.

    bottom: values (N, C, H, W), and a blob whose two last sizes are those of the top;  top: (N, C, H', W'). The second
    bottom gets no gradient: its values are not used.
    """

    bottom_count = (2, 2)
    gradient_to = (0,)
    refuses_gradient = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the part."""
        self._size = bottom[1].shape[2:]
        super().reshape(bottom, top)

    def margins(self, shape: tuple[int, ...]) -> Margins:
        """What is cut off behind."""
        if len(shape) != 4 or len(self._size) != 2 or any(a > b for a, b in zip(self._size, shape[2:], strict=True)):
            rule = "the first bottom must be an image (N, C, H, W) at least as large as the second."
            raise self.fail(rule, f"shapes {shape} and (..., {', '.join(map(str, self._size))})")
        return [(0, 0), (0, 0), *((0, size - extent) for size, extent in zip(self._size, shape[2:], strict=True))]
