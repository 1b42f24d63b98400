"""DomainTransform: an edge-aware recursive filter with learnt edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from segcaffe.functional.domain_transform import MOST_ITERATIONS, Recursion
from segcaffe.kernels import domain_transform as kernels
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows

Array = Any


@register
class DomainTransform(Layer):
    """Domain transform: smooths scores where an edge map is low.

    bottom: values (N, C, H, W), edges (N, 1, H, W), sizes (N, 2, 1, 1) as height and width before padding;
    top: (N, C, H, W), filtered within each image's size, unchanged outside it. Iteration i of num_iter uses weights
    exp(-√2 / σ_i · (1 + edge · spatial_sigma / range_sigma)), kept in [min_weight, 1], with
    σ_i = spatial_sigma · √3 · 2^(num_iter - i) / √(4^num_iter - 1). The gradient of the edges passes through the bounds
    as if they were not there. Source: Chen et al., "Semantic Image Segmentation with Task-Specific Edge Detection Using
    CNNs and a Discriminatively Trained Domain Transform", CVPR 2016.
    """

    bottom_count = (3, 3)
    gradient_to: ClassVar[tuple[int, ...] | None] = (0, 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read and check the options."""
        option = self.param.domain_transform_param
        for name in ("spatial_sigma", "range_sigma", "num_iter"):
            if getattr(option, name) <= 0:
                raise self.fail(f"{name} must be positive", f"{name}: {getattr(option, name)}")
        if not 0 <= option.min_weight <= 1:
            raise self.fail("min_weight must lie in [0, 1]", f"min_weight: {option.min_weight}")
        self.check_range("num_iter", option.num_iter, 1, MOST_ITERATIONS)
        self.recursion = Recursion(option.spatial_sigma, option.range_sigma, option.num_iter, option.min_weight)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; the top is like the values."""
        shape = bottom[0].shape
        if len(shape) != 4 or bottom[1].shape != (shape[0], 1, *shape[2:]):
            raise self.fail(
                "values and edges must have shapes (N, C, H, W) and (N, 1, H, W)",
                f"shapes {shape} and {bottom[1].shape}",
            )
        if bottom[2].ndim < 1 or bottom[2].shape[0] != shape[0] or bottom[2].count < 2 * shape[0]:
            raise self.fail("the sizes must be a height and a width for each image", f"shape {bottom[2].shape}")
        top[0].reshape(*shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Filter the values in place of the top."""
        out = top[0].array
        out[...] = bottom[0].array
        kernels.forward(out, self.recursion.weights(bottom[1].array), self._sizes(bottom))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the values and the edges."""
        weights = self.recursion.weights(bottom[1].array)
        grad, weight_grad = top[0].grad.copy(), self.xp.empty_like(weights)
        kernels.backward(bottom[0].array, weights, self._sizes(bottom), grad, weight_grad)
        if propagate_down[0]:
            bottom[0].grad[...] = grad
        if propagate_down[1]:
            bottom[1].grad[...] = self.recursion.edges_grad(weights, weight_grad)

    def _sizes(self, bottom: Blobs) -> Array:
        """Return each image's height and width, (N, 2) integers."""
        height, width = bottom[0].shape[2:]
        sizes = rows(bottom[2].data)[:, :2].astype(int)
        if (sizes < 1).any() or (sizes > (height, width)).any():
            raise self.fail(
                f"each image's size must be positive and at most that of the values, {height}x{width}",
                ", ".join(f"{h}x{w}" for h, w in sizes),
            )
        return self.xp.asarray(sizes)
