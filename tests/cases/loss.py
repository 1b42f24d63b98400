"""Cases of the loss layers."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def labels(*shape: int, classes: int, ignore: int | None = None):
    """Labels 0..classes-1, some of them replaced by the label to ignore."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        values = rng.integers(0, classes, shape)
        if ignore is not None:
            values[rng.random(shape) < 0.3] = ignore
        return values

    return draw


def softmax_case(suffix: str, options: str, ignore: int | None = None, **more) -> LayerCase:
    bottoms = ((2, 5, 4, 3), labels(2, 1, 4, 3, classes=5, ignore=ignore))
    return LayerCase("SoftmaxWithLoss", options, bottoms, suffix=suffix, **more)


CASES = [
    softmax_case("valid", ""),
    softmax_case("ignore", "loss_param { ignore_label: 255 }", 255),
    softmax_case("ignore_class", "loss_param { ignore_label: 0 }"),
    softmax_case("full", "loss_param { ignore_label: 255 normalization: FULL }", 255),
    softmax_case("batch_size", "loss_param { ignore_label: 255 normalization: BATCH_SIZE }", 255),
    softmax_case("none", "loss_param { ignore_label: -1 normalization: NONE }", -1),
    softmax_case("old_flag", "loss_param { ignore_label: 255 normalize: false }", 255),
    softmax_case("probabilities", "", tops=2, gradient=False),
    LayerCase("SoftmaxWithLoss", bottoms=((4, 10), labels(4, classes=10)), suffix="rows"),
    LayerCase(
        "SoftmaxWithLoss",
        "softmax_param { axis: -1 }",
        ((3, 4, 6), labels(3, 4, classes=6)),
        suffix="last_axis",
    ),
    LayerCase("EuclideanLoss", bottoms=((2, 3, 4, 5), (2, 3, 4, 5))),
]
