"""The domain transform's filter against its definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels import domain_transform


def reference(image: np.ndarray, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    out = image.copy()
    for n, (height, width) in enumerate(sizes):
        x = out[n, :, :height, :width]
        for w in weights[:, n]:
            for i in range(1, width):
                x[..., i] += w[:height, i] * (x[..., i - 1] - x[..., i])
            for i in range(width - 2, -1, -1):
                x[..., i] += w[:height, i + 1] * (x[..., i + 1] - x[..., i])
            for i in range(1, height):
                x[:, i] += w[i, :width] * (x[:, i - 1] - x[:, i])
            for i in range(height - 2, -1, -1):
                x[:, i] += w[i + 1, :width] * (x[:, i + 1] - x[:, i])
    return out


@pytest.mark.parametrize("channels", [1, 3, 19])
@pytest.mark.parametrize("sizes", [((6, 7), (6, 7)), ((4, 7), (1, 1)), ((1, 5), (6, 1))], ids=str)
def test_forward_and_backward(channels: int, sizes: tuple[tuple[int, int], ...]) -> None:
    rng = np.random.default_rng(channels)
    image, weights = rng.standard_normal((2, channels, 6, 7)), rng.random((3, 2, 6, 7))
    inside = np.array(sizes)
    out = image.copy()
    domain_transform.forward(out, weights, inside)
    np.testing.assert_allclose(out, reference(image, weights, inside), rtol=1e-12)
    top = rng.standard_normal(image.shape)
    grad, weight_grad = top.copy(), np.full_like(weights, np.nan)
    domain_transform.backward(image, weights, inside, grad, weight_grad)
    np.testing.assert_allclose((grad * image).sum(), (top * out).sum(), rtol=1e-9)
    direction, step = rng.standard_normal(weights.shape), 1e-6
    ahead = reference(image, weights + step * direction, inside)
    behind = reference(image, weights - step * direction, inside)
    slope = ((ahead - behind) * top).sum() / (2 * step)
    np.testing.assert_allclose((weight_grad * direction).sum(), slope, rtol=1e-6, atol=1e-7)
