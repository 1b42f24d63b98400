"""MultiStageMeanfield: the CRF as a recurrent network, with Gaussian filters over the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.functional.lattice import Lattice, bilateral, coordinates
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.segaware.meanfield import MeanfieldLayer

Array = Any


@register
class MultiStageMeanfield(MeanfieldLayer):
    """Mean-field inference of a fully connected CRF, differentiable (CRF-RNN).

    bottom: unary (N, C, H, W), first q (N, C, H, W), image (N, 3, H, W);  top: (N, C, H, W), scores without a softmax.
    Filters: Gaussians of position (theta_gamma pixels wide), and of position (theta_alpha) and colour (theta_beta), on
    permutohedral lattices, each divided by what it makes of ones. Parameters: spatial, bilateral, compat, each
    (1, 1, C, C); the diagonals of the first two start as spatial_filter_weights_str and bilateral_filter_weights_str, C
    numbers, 1 where not given. No gradient to the image. Source: Zheng et al., "Conditional Random Fields as
    Recurrent Neural Networks", ICCV 2015.
    """

    bottom_count = (3, 3)
    gradient_to = (0, 1)
    refuses_gradient = False
    num_filters = 2
    fork_options = frozenset(
        {
            "MultiStageMeanfieldParameter.spatial_filter_weights_str",
            "MultiStageMeanfieldParameter.bilateral_filter_weights_str",
        }
    )

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and make the parameters."""
        option = self.param.multi_stage_meanfield_param
        self.setup_meanfield(option.num_iterations, bottom)
        self.theta_alpha, self.theta_beta, self.theta_gamma = option.theta_alpha, option.theta_beta, option.theta_gamma
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            if getattr(option, name) <= 0:
                raise self.fail(f"{name} must be positive", f"{name}: {getattr(option, name)}")
        for blob, name in zip(self.blobs, ("spatial_filter_weights_str", "bilateral_filter_weights_str"), strict=False):
            if option.HasField(name):
                blob.data.flat[:: self.classes + 1] = self._numbers(name, getattr(option, name))

    def _numbers(self, name: str, text: str) -> list[float]:
        """The numbers of a diagonal, one for each class."""
        try:
            numbers = [float(word) for word in text.split()]
        except ValueError:
            numbers = []
        if len(numbers) != self.classes or not np.isfinite(numbers).all():
            raise self.fail(f"{name} must be {self.classes} numbers, one for each class", text)
        return numbers

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes; the spatial lattice depends on the size only."""
        super().reshape(bottom, top)
        if bottom[2].shape[1] != 3:
            raise self.fail("the image must have 3 channels", f"shape {bottom[2].shape}")
        size = bottom[0].height, bottom[0].width
        if getattr(self, "_spatial_size", None) != size:
            self._spatial = Lattice(coordinates(self.xp, *size, self.theta_gamma), self.dtype, self.where)
            self._spatial_size = size

    def prepare(self, bottom: Blobs) -> None:
        """Build each image's bilateral lattice."""
        images = bottom[2].array
        self._bilateral = [
            Lattice(bilateral(self.xp, image, self.theta_alpha, self.theta_beta), self.dtype, self.where)
            for image in images
        ]

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Filter each image on its lattice."""
        for n in range(len(values)):
            lattice = self._spatial if index == 0 else self._bilateral[n]
            lattice.filter(values[n].reshape(self.classes, -1), out[n].reshape(self.classes, -1), transposed)
