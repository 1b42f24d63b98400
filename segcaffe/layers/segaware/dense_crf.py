"""DenseCRF: inference in a fully connected CRF with Gaussian edge potentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.functional.lattice import Lattice, bilateral, coordinates
from segcaffe.kernels import softmax as softmax_kernel
from segcaffe.layers.base import MOST_ITERATIONS, Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows

Array = Any


@register
class DenseCRF(Layer):
    """Mean-field inference in a fully connected CRF with Potts potentials.

    bottom: scores (N, C, H, W), sizes (N, 2, 1, 1) as height and width before padding, image (N, 3, H, W) if there are
    bilateral potentials;  top: (N, C, H, W), probabilities, or their logarithms with output_probability false, inside
    each image's size, and 0 outside it. p = softmax(scores), then max_iter times
    p = softmax(scores + Σ weight · filter(p)), where each filter is a Gaussian of position (pos_xy_std) or of position
    and colour (bi_xy_std, bi_rgb_std), divided by what it makes of ones. No gradient.
    Source: Krähenbühl, Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011.
    """

    bottom_count = (2, 3)
    gradient_to = ()
    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read and check the options."""
        option = self.param.dense_crf_param
        self.max_iter, self.output_probability = option.max_iter, option.output_probability
        self.check_range("max_iter", self.max_iter, 0, MOST_ITERATIONS)
        self.position = self._potentials("pos_w", "pos_xy_std")
        self.bilateral = self._potentials("bi_w", "bi_xy_std", "bi_rgb_std")
        if len(bottom) == 3 and not self.bilateral:
            raise self.fail("an image needs bilateral potentials: give bi_w, bi_xy_std and bi_rgb_std", "none")
        if len(bottom) == 2 and self.bilateral:
            raise self.fail("bilateral potentials (bi_w) need an image as the third bottom", "2 bottoms")
        self._position_lattices: dict[tuple[int, int], list[Lattice]] = {}

    def _potentials(self, *names: str) -> list[tuple[float, ...]]:
        """Return weight and deviations of each potential of a kind."""
        values = [tuple(getattr(self.param.dense_crf_param, name)) for name in names]
        received = ", ".join(f"{name}: {list(v)}" for name, v in zip(names, values, strict=True))
        if len({len(v) for v in values}) != 1:
            raise self.fail(f"{', '.join(names)} must be given equally often", received)
        if any(deviation <= 0 for v in values[1:] for deviation in v):
            raise self.fail("standard deviations must be positive", received)
        return list(zip(*values, strict=True))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; the top is like the scores."""
        shape = bottom[0].shape
        if len(shape) != 4 or min(shape[1:]) < 1:
            raise self.fail("the scores must have 4 axes (N, C, H, W), with a channel and a pixel", f"shape {shape}")
        if bottom[1].ndim < 1 or bottom[1].shape[0] != shape[0] or bottom[1].count < 2 * shape[0]:
            raise self.fail("the sizes must be a height and a width for each image", f"shape {bottom[1].shape}")
        if len(bottom) == 3 and bottom[2].shape != (shape[0], 3, *shape[2:]):
            raise self.fail(
                "the image must have 3 channels and the scores' batch size, height and width",
                f"shapes {bottom[2].shape} and {shape}",
            )
        top[0].reshape(*shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Infer each image by itself, within its size."""
        scores, out = bottom[0].array, top[0].array
        height, width = scores.shape[2:]
        out[...] = 0
        for n, own in enumerate(rows(bottom[1].data)[:, :2]):
            if not min(own) >= 1:
                raise self.fail("the sizes must be positive", f"height {own[0]:g}, width {own[1]:g} for image {n}")
            size = int(min(height, own[0])), int(min(width, own[1]))
            image = bottom[2].array[n, :, : size[0], : size[1]] if len(bottom) == 3 else None
            out[n, :, : size[0], : size[1]] = self._infer(scores[n, :, : size[0], : size[1]], image)

    def _infer(self, scores: Array, image: Array | None) -> Array:
        """Return the result for one image's scores (C, h, w)."""
        filters = self._filters(scores.shape[1:], image)
        flat = self.xp.ascontiguousarray(scores).reshape(1, len(scores), -1)
        p, next_scores, filtered = (self.xp.empty_like(flat) for _ in range(3))
        softmax_kernel.forward(flat, p)
        for _ in range(self.max_iter):
            next_scores[...] = flat
            for weight, lattice in filters:
                lattice.filter(p[0], filtered[0])
                filtered *= self.dtype.type(weight)
                next_scores += filtered
            softmax_kernel.forward(next_scores, p)
        if not self.output_probability:
            p = self.xp.log(self.xp.maximum(p, np.finfo(np.float32).tiny))
        return p.reshape(scores.shape)

    def _filters(self, size: tuple[int, int], image: Array | None) -> list[tuple[float, Lattice]]:
        """Return weight and lattice of each potential; those of position depend on the size only."""
        if size not in self._position_lattices:
            features = [coordinates(self.xp, *size, xy) for _, xy in self.position]
            self._position_lattices = {size: [Lattice(f, self.dtype, self.where) for f in features]}
        weights = [weight for weight, _ in self.position]
        filters = list(zip(weights, self._position_lattices[size], strict=True))
        if image is not None:
            for weight, xy, rgb in self.bilateral:
                filters.append((weight, Lattice(bilateral(self.xp, image, xy, rgb), self.dtype, self.where)))
        return filters
