"""Im2dist: how far each pixel's embedding is from those around it."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels.distance.choice import compare, compare_backward
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.distance_option import distance_of
from segcaffe.layers.segaware.local_window import LocalWindow


@register
class Im2dist(LocalWindow):
    """Distances between the centre of each window and all its taps.

    bottom: embeddings (N, E, H, W);  top: distances (N, kh·kw, H', W').
    With d = centre - neighbour the distance is ½Σd² (norm L2, the default) or Σ|d| (L1), summed over E, or Σ value(d)
    of the ``distance`` of that name (`segcaffe.functional.register_distance`, segcaffe's own option). A neighbour
    outside the image is 0 away, or `im2dist.FAR` with remove_bounds; remove_center puts the centre `im2dist.FAR` from
    itself. All distances are 0 where the centre is outside. Source: Harley et al. 2017, section 3.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window and the norm."""
        super().setup(bottom, top)
        options = self.param.im2dist_param
        self.distance = distance_of(self, options)
        self.remove_center, self.remove_bounds = options.remove_center, options.remove_bounds

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the distances; each pair of pixels once where the stride is 1."""
        image, dist = self._images(bottom[0].array), self._images(top[0].array)
        compare(image, dist, self.window, self.distance, self.remove_center, self.remove_bounds)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient d (L2), sign(d) (L1) or the distance's slope to the centre, its negative to the neighbour."""
        if propagate_down[0]:
            image, image_grad = self._images(bottom[0].array), self._images(bottom[0].grad)
            compare_backward(image, self._images(top[0].grad), image_grad, self.window, self.distance)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """One for each tap and channel."""
        return top[0].count * bottom[0].shape[self.axis]
