"""Large windows, whose sums stay in registers, against shifted images."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels import im2dist
from segcaffe.kernels.im2dist import FAR
from segcaffe.kernels.vector.stencil import Rows
from segcaffe.window import Window

WINDOW = Window((5, 5), (1, 1), (6, 4), (3, 2))
TAPS = [((i - 2) * 3, (j - 2) * 2) for i in range(5) for j in range(5)]


def part(x: np.ndarray, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where pixels have a neighbour (dy, dx) further, and where those neighbours are."""
    height, width = x.shape[2:]
    own = slice(max(0, -dy), max(0, height - max(0, dy))), slice(max(0, -dx), max(0, width - max(0, dx)))
    return own, (slice(own[0].start + dy, own[0].stop + dy), slice(own[1].start + dx, own[1].stop + dx))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("l1", [False, True])
@pytest.mark.parametrize("channels", [1, 7, 16])
@pytest.mark.parametrize("width", [16, 37])
def test_distances_and_their_gradient(width: int, channels: int, l1: bool, dtype: type) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, channels, 9, width)).astype(dtype)
    dist, grad = np.full((2, 25, 9, width), np.nan, dtype), rng.standard_normal((2, 25, 9, width)).astype(dtype)
    image_grad = np.full_like(image, np.nan)
    im2dist.forward(image, dist, WINDOW, l1, False, True)
    im2dist.backward(image, grad, image_grad, WINDOW, l1)
    expected, expected_grad = np.full(dist.shape, FAR), np.zeros(image.shape)
    for tap, (dy, dx) in enumerate(TAPS):
        own, other = part(image, dy, dx)
        difference = image[(slice(None), slice(None), *own)].astype(float) - image[(slice(None), slice(None), *other)]
        sums = np.abs(difference).sum(1) if l1 else 0.5 * (difference**2).sum(1)
        expected[(slice(None), tap, *own)] = sums
        sent = grad[(slice(None), tap, *own)][:, None] * (np.sign(difference) if l1 else difference)
        expected_grad[(slice(None), slice(None), *own)] += sent
        expected_grad[(slice(None), slice(None), *other)] -= sent
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(dist, expected, rtol=tolerance)
    np.testing.assert_allclose(image_grad, expected_grad, atol=40 * tolerance)


def test_rows_have_margins_of_zeros() -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for _ in range(2):
        rows = Rows.of(images, 2, "test_rows")
        found = rows.flat.reshape(2, 4, 3, 9)
        np.testing.assert_array_equal(found[..., 2:7], images.transpose(0, 2, 1, 3))
        assert not found[..., :2].any()
        assert not found[..., 7:].any()
        rows.flat[:] = np.nan
