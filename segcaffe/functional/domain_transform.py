"""The domain transform: an edge-aware recursive filter."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.functional.arrays import check_images, fail, take
from segcaffe.kernels import domain_transform as kernels

Array = Any
MOST_ITERATIONS = 100
"""The filters of later iterations reach less than a pixel; for more than 511, 4^iterations has no room in a float."""


class DomainTransformGradients(NamedTuple):
    """Gradients of `domain_transform`, in the shapes of what was given."""

    values: Any
    edges: Any


class Recursion:
    """How far each iteration's filter reaches, as options say, and its weights for a map of edges.

    Iteration i of ``iterations`` has the weights ``exp(-√2 / σ_i · (1 + edge · spatial_sigma / range_sigma))``, kept in
    [``min_weight``, 1], with ``σ_i = spatial_sigma · √3 · 2^(iterations - i) / √(4^iterations - 1)``.
    """

    def __init__(self, spatial_sigma: float, range_sigma: float, iterations: int, min_weight: float) -> None:
        self.min_weight = min_weight
        self.edge_factor = spatial_sigma / range_sigma
        first = spatial_sigma * math.sqrt(3) / math.sqrt(4.0**iterations - 1)
        self.rates = [-math.sqrt(2) / (first * 2.0 ** (iterations - i)) for i in range(1, iterations + 1)]

    def weights(self, edges: Array) -> Array:
        """Weights of each iteration, (I, N, H, W), for ``edges`` (N, 1, H, W)."""
        xp = device.array_module(edges)
        rates = xp.asarray(self.rates, edges.dtype)[:, None, None, None]
        weights = 1 + edges[:, 0] * edges.dtype.type(self.edge_factor)
        return xp.exp(rates * weights).clip(self.min_weight, 1)

    def edges_grad(self, weights: Array, weight_grad: Array) -> Array:
        """Gradient of the edges, (N, 1, H, W), from that of the weights, which is overwritten.

        It passes through the bounds as if they were not there.
        """
        weight_grad *= weights
        for rate, one in zip(self.rates, weight_grad, strict=True):
            one *= weights.dtype.type(rate * self.edge_factor)
        grad: Array = weight_grad.sum(axis=0)[:, None]
        return grad


def domain_transform(
    values: Any,
    edges: Any,
    *,
    spatial_sigma: float = 50.0,
    range_sigma: float = 5.0,
    iterations: int = 3,
    min_weight: float = 0.0,
) -> Any:
    """Smooth values where an edge map is low.

    Parameters
    ----------
    values:
        (N, C, H, W), float32 or float64.
    edges:
        (N, 1, H, W), not negative: how much of an edge each pixel is.
    spatial_sigma, range_sigma:
        How far the filter reaches, in pixels, and how much of an edge stops it.
    iterations:
        From 1 to 100; each is a pass over rows and columns, there and back.
    min_weight:
        In [0, 1]: what at least passes from pixel to pixel.

    Returns
    -------
    (N, C, H, W).

    Raises
    ------
    ShapeError
        Arrays or numbers are not as told.

    Source: Chen et al., "Semantic Image Segmentation with Task-Specific Edge Detection Using CNNs and a
    Discriminatively Trained Domain Transform", CVPR 2016. The layer is DomainTransform.
    """
    name = "domain_transform"
    given = take(name, values=values, edges=edges)
    recursion = _recursion(name, given.arrays, spatial_sigma, range_sigma, iterations, min_weight)
    out = given.arrays[0].copy()
    kernels.forward(out, recursion.weights(given.arrays[1]), _sizes(out))
    return given.back(out)


def domain_transform_backward(
    grad: Any,
    values: Any,
    edges: Any,
    *,
    spatial_sigma: float = 50.0,
    range_sigma: float = 5.0,
    iterations: int = 3,
    min_weight: float = 0.0,
) -> DomainTransformGradients:
    """Gradients of `domain_transform`, from ``grad`` (N, C, H, W); that of the edges ignores ``min_weight``'s bound."""
    name = "domain_transform_backward"
    given = take(name, grad=grad, values=values, edges=edges)
    grads, images, maps = given.arrays
    recursion = _recursion(name, [images, maps], spatial_sigma, range_sigma, iterations, min_weight)
    if grads.shape != images.shape:
        raise fail(name, f"grad must have the shape of values, {images.shape}", f"{grads.shape}")
    weights, values_grad = recursion.weights(maps), grads.copy()
    weight_grad = device.array_module(weights).empty_like(weights)
    kernels.backward(images, weights, _sizes(images), values_grad, weight_grad)
    return DomainTransformGradients(given.back(values_grad), given.back(recursion.edges_grad(weights, weight_grad)))


def _recursion(
    name: str, arrays: list[Array], spatial_sigma: float, range_sigma: float, iterations: int, min_weight: float
) -> Recursion:
    check_images(name, values=arrays[0], edges=arrays[1])
    if arrays[1].shape[1] != 1:
        raise fail(name, "edges must have shape (N, 1, H, W)", f"{arrays[1].shape}")
    for what, value in (("spatial_sigma", spatial_sigma), ("range_sigma", range_sigma)):
        if not value > 0:
            raise fail(name, f"{what} must be positive", repr(value))
    if not isinstance(iterations, int) or not 1 <= iterations <= MOST_ITERATIONS:
        raise fail(name, f"iterations must be a whole number from 1 to {MOST_ITERATIONS}", repr(iterations))
    if not 0 <= min_weight <= 1:
        raise fail(name, "min_weight must lie in [0, 1]", repr(min_weight))
    return Recursion(spatial_sigma, range_sigma, iterations, min_weight)


def _sizes(images: Array) -> Array:
    """The whole of each image."""
    xp = device.array_module(images)
    return xp.asarray([images.shape[2:]] * len(images), int).reshape(-1, 2)
