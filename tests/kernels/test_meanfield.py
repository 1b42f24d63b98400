"""Filtering classes with per-pixel weights against sums over shifted images."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels import meanfield
from segcaffe.window import Window

WINDOWS = [Window((3, 5), (1, 1), (2, 6), (2, 3)), Window((4, 4), (1, 1), (3, 3), (2, 2))]


def shifted(x: np.ndarray, window: Window) -> np.ndarray:
    """(N, C, T, H, W): the value at each tap, 0 outside."""
    (kh, kw), (ph, pw), (dh, dw) = window.kernel, window.pad, window.dilation
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    taps = [(i * dh, j * dw) for i in range(kh) for j in range(kw)]
    return np.stack([padded[:, :, i : i + height, j : j + width] for i, j in taps], 2)


@pytest.mark.parametrize("window", WINDOWS, ids=["odd", "even"])
@pytest.mark.parametrize("classes", [1, 3, 9])
@pytest.mark.parametrize("size", [(6, 9), (2, 3), (5, 8), (4, 37)], ids=["larger", "small", "one_run", "long_rows"])
def test_filter_and_its_gradients(window: Window, classes: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    values, grad = (rng.standard_normal((2, classes, *size)) for _ in range(2))
    weights = rng.random((2, window.taps, *size))
    out, back = np.full_like(values, np.nan), np.full_like(values, np.nan)
    meanfield.filter_classes(values, weights, out, window, False)
    np.testing.assert_allclose(out, np.einsum("ncthw,nthw->nchw", shifted(values, window), weights), atol=1e-12)
    meanfield.filter_classes(grad, weights, back, window, True)
    np.testing.assert_allclose((back * values).sum(), (out * grad).sum(), rtol=1e-10)
    weight_grad = np.ones_like(weights)
    meanfield.add_weight_grad(values, grad, weight_grad, window)
    expected = 1 + np.einsum("ncthw,nchw->nthw", shifted(values, window), grad)
    np.testing.assert_allclose(weight_grad, expected, atol=1e-12)
