"""YoloSeg against its original written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

SHAPE = (3, 2, 4, 5)


def _expected(
    scores: np.ndarray, labels: np.ndarray, scale: float, pixels: np.ndarray | None
) -> tuple[float, np.ndarray]:
    loss, grad = 0.0, np.zeros(SHAPE)
    for (n, c, i, j), score in np.ndenumerate(scores):
        error = (1 / (1 + math.exp(-score)) - labels[n, c, i, j]) * scale
        if pixels is not None and labels[n, c, i, j] > 0.5:
            own = sum(pixels[m, c] for m in range(SHAPE[0]))
            others = sum(20 - pixels[m, c] for m in range(SHAPE[0]))
            error *= 2 - own / others
        loss += error * error
        grad[n, c, i, j] = error / SHAPE[0]
    return loss / SHAPE[0], grad


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("weighed", [False, True])
def test_loss_and_gradient(scale: float, weighed: bool) -> None:
    rng = np.random.default_rng(int(scale) + weighed)
    scores = rng.standard_normal(SHAPE) * 3
    labels = (rng.random(SHAPE) < 0.4).astype(float)
    pixels = labels.sum((2, 3)) if weighed else None
    inputs = (scores, labels) if pixels is None else (scores, labels, pixels)
    layer, bottom, top = LayerCase("YoloSeg", f"yolo_seg_param {{ object_scale: {scale} }}", inputs).build(
        dtype=np.float64
    )
    layer.forward(bottom, top)
    loss, grad = _expected(scores, labels, scale, pixels)
    assert float(top[0].data) == pytest.approx(loss, rel=1e-6)
    top[0].diff[...] = 2
    layer.backward(top, [True, False, False], bottom)
    np.testing.assert_allclose(bottom[0].diff, 2 * grad, rtol=1e-6, atol=1e-12)


def test_large_scores() -> None:
    layer, bottom, top = LayerCase(
        "YoloSeg", "yolo_seg_param { object_scale: 1 }", (np.full(SHAPE, -1e4), np.ones(SHAPE))
    ).build()
    layer.forward(bottom, top)
    assert float(top[0].data) == 2 * 4 * 5


@pytest.mark.parametrize(
    ("options", "inputs", "told"),
    [
        ("", (SHAPE, (3, 2, 4, 4)), "labels of the same shape"),
        ("", ((3, 2), (3, 2)), "labels of the same shape"),
        ("", (SHAPE, SHAPE, (3, 1)), "a number of pixels for each item and class"),
        ("use_hardsigmoid: true", (SHAPE, SHAPE), "are not built"),
    ],
)
def test_what_is_refused(options: str, inputs: tuple, told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        LayerCase("YoloSeg", f"yolo_seg_param {{ {options} }}", inputs).build()
