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


def chances(*shape: int):
    """Values in 0.05..0.95."""
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def scaled(factor: float, *shape: int):
    """Normal values times a factor."""
    return lambda rng: factor * rng.standard_normal(shape)


def sigmoid_case(suffix: str, options: str) -> LayerCase:
    """Targets of which some are the label to ignore, -1."""

    def targets(rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random((2, 3, 4, 5)) < 0.3, -1, rng.random((2, 3, 4, 5)))

    return LayerCase("SigmoidCrossEntropyLoss", options, ((2, 3, 4, 5), targets), suffix=suffix)


def l1_case(suffix: str, options: str) -> LayerCase:
    """Two flow fields, unknown (NaN) in some places of the second."""

    def truth(rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random((2, 2, 4, 5)) < 0.2, np.nan, 2 * rng.standard_normal((2, 2, 4, 5)))

    return LayerCase("L1Loss", f"l1_loss_param {{ {options} }}", ((2, 2, 4, 5), truth), suffix=suffix, no_gradient=(1,))


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
        "loss_param { label_smoothing: 0.2 ignore_label: 2 }",
        ((2, 5, 4, 3), labels(2, 1, 4, 3, classes=5, ignore=2)),
        suffix="smooth",
    ),
    LayerCase(
        "SoftmaxWithLoss",
        "softmax_param { axis: -1 }",
        ((3, 4, 6), labels(3, 4, classes=6)),
        suffix="last_axis",
    ),
    LayerCase("EuclideanLoss", bottoms=((2, 3, 4, 5), (2, 3, 4, 5))),
    LayerCase("EuclideanLoss", bottoms=((2, 3, 4), (2, 3, 4), (2, 3, 4)), suffix="weights", no_gradient=(2,)),
    LayerCase("SoftmaxWithLossOHEM", bottoms=((4, 10), labels(4, classes=10))),
    LayerCase(
        "SoftmaxWithLossOHEM",
        "loss_param { ignore_label: 2 }",
        ((2, 5, 4, 3), labels(2, 1, 4, 3, classes=5, ignore=2)),
        tops=3,
        suffix="each",
        gradient=False,
        batched=False,
    ),
    LayerCase("SmoothL1LossOHEM", bottoms=((3, 8), (3, 8))),
    LayerCase("SmoothL1LossOHEM", bottoms=((3, 8, 1, 1), (3, 8), (3, 8)), suffix="rows"),
    LayerCase(
        "SmoothL1LossOHEM",
        "loss_param { normalization: BATCH_SIZE }",
        ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)),
        suffix="weighted",
        no_gradient=(2,),
    ),
    LayerCase(
        "SmoothL1LossOHEM",
        bottoms=((2, 3, 4, 5), (2, 3, 4, 5)),
        tops=2,
        suffix="each",
        gradient=False,
        batched=False,
    ),
    LayerCase("SigmoidCrossEntropyLoss", bottoms=((2, 3, 4, 5), chances(2, 3, 4, 5))),
    sigmoid_case("ignore", "loss_param { ignore_label: -1 }"),
    sigmoid_case("valid", "loss_param { ignore_label: -1 normalization: VALID }"),
    sigmoid_case("full", "loss_param { ignore_label: -1 normalization: FULL }"),
    sigmoid_case("none", "loss_param { ignore_label: -1 normalization: NONE }"),
    sigmoid_case("old_flag", "loss_param { ignore_label: -1 normalize: true }"),
    LayerCase("MultinomialLogisticLoss", bottoms=(chances(4, 5), labels(4, classes=5))),
    LayerCase("HingeLoss", bottoms=((4, 5), labels(4, classes=5))),
    LayerCase("HingeLoss", "hinge_loss_param { norm: L2 }", ((4, 5), labels(4, classes=5)), suffix="L2"),
    # Long vectors: the gradient of Caffe has a small addend to the distance that differences would show.
    LayerCase(
        "ContrastiveLoss",
        "contrastive_loss_param { margin: 90 }",
        (scaled(20, 6, 3), scaled(20, 6, 3), np.array([1, 0, 0, 1, 0, 0])),
    ),
    LayerCase(
        "ContrastiveLoss",
        "contrastive_loss_param { margin: 5 legacy_version: true }",
        ((6, 3, 1, 1), (6, 3, 1, 1), np.array([1, 0, 0, 1, 0, 0])),
        suffix="legacy",
    ),
    LayerCase("InfogainLoss", bottoms=((4, 3), labels(4, classes=3), chances(1, 1, 3, 3)), batched=False),
    LayerCase(
        "InfogainLoss",
        "infogain_loss_param { axis: -1 } loss_param { ignore_label: 255 normalization: FULL }",
        ((2, 4, 3), labels(2, 4, classes=3, ignore=255), (3, 3)),
        suffix="ignore_axis",
        batched=False,
    ),
    LayerCase(
        "InfogainLoss",
        bottoms=((2, 3, 4, 5), labels(2, 4, 5, classes=3), (3, 3)),
        tops=2,
        suffix="probabilities",
        gradient=False,
        batched=False,
    ),
    LayerCase("L1Loss", bottoms=((2, 3, 4, 5), (2, 3, 4, 5))),
    LayerCase("L1Loss", "l1_loss_param { plateau: 0.5 }", suffix="one_bottom_plateau"),
    l1_case("lengths", "l2_per_location: true"),
    l1_case("lengths_prescaled", "l2_per_location: true l2_prescale_by_channels: true epsilon: 0.1"),
    l1_case("lengths_plateau", "l2_per_location: true plateau: 1.5 epsilon: 0"),
    l1_case("entries", "normalize_by_num_entries: true"),
    LayerCase("SmoothL1Loss", bottoms=((2, 3, 4, 5), (2, 3, 4, 5))),
    LayerCase("SmoothL1Loss", bottoms=((4, 3), (4, 3, 1, 1)), suffix="rows"),
    LayerCase("SmoothL1Loss", bottoms=((2, 3, 4, 5),) * 3, suffix="weights"),
    LayerCase("SmoothL1Loss", bottoms=((2, 3, 4, 5),) * 4, suffix="inside_and_outside_weights"),
    LayerCase("SmoothL1Loss", "smooth_l1_loss_param { sigma: 3 }", ((2, 3, 4, 5),) * 4, suffix="sigma"),
]
