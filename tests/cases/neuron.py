"""Cases of the neuron layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segcaffe.testing import LayerCase


def away_from(*kinks: float, shape: tuple[int, ...] = (2, 3, 5, 6)) -> Callable[[np.random.Generator], np.ndarray]:
    """Normal values, those nearer than 0.05 to a kink pushed away from it."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(shape)
        for kink in kinks:
            offset = values - kink
            values = np.where(np.abs(offset) < 0.05, kink + np.copysign(0.1, offset), values)
        return values

    return draw


def between(
    low: float, high: float, shape: tuple[int, ...] = (2, 3, 5, 6)
) -> Callable[[np.random.Generator], np.ndarray]:
    """Values drawn evenly from an interval."""
    return lambda rng: rng.uniform(low, high, shape)


SMOOTH = away_from(0.0)


def limited(rng: np.random.Generator) -> np.ndarray:
    """Values on both sides of 0 and of a ReLU's limits."""
    return 4 * away_from(-0.5, -0.25, 0.0, 0.75, 1.5)(rng)


CASES = [
    LayerCase("ReLU", bottoms=(SMOOTH,)),
    LayerCase("ReLU", "relu_param { negative_slope: 0.1 }", (SMOOTH,), suffix="leaky"),
    LayerCase("ReLU", "relu_param { negative_slope: -0.5 }", (SMOOTH,), suffix="negative_slope"),
    LayerCase("ReLU", "relu_param { relu6: true }", (limited,), suffix="relu6"),
    LayerCase("ReLU", "relu_param { negative_slope: 0.5 maximum: 3 minimum: -1 }", (limited,), suffix="limits"),
    LayerCase("ReLU", "relu_param { negative_slope: -0.5 maximum: 3 }", (limited,), suffix="negative_slope_maximum"),
    LayerCase("ReLU", bottoms=(away_from(0.0, shape=(7,)),), suffix="vector"),
    LayerCase("ReLU", bottoms=(away_from(0.0, shape=()),), suffix="scalar"),
    LayerCase("ReLU", bottoms=(away_from(0.0, shape=(2, 3, 2, 3, 2)),), suffix="five_axes"),
    LayerCase("PReLU", bottoms=(SMOOTH,)),
    LayerCase("PReLU", "prelu_param { channel_shared: true }", (SMOOTH,), suffix="shared"),
    LayerCase("PReLU", "prelu_param { channel_shared: true }", (away_from(0.0, shape=(5,)),), suffix="shared_vector"),
    LayerCase("PReLU", bottoms=(away_from(0.0, shape=(4, 3)),), suffix="rows"),
    LayerCase("PReLU", bottoms=(away_from(0.0, shape=(2, 3, 2, 3, 2)),), suffix="five_axes"),
    LayerCase("ELU", bottoms=(SMOOTH,)),
    LayerCase("ELU", "elu_param { alpha: 0.3 }", (SMOOTH,), suffix="alpha"),
    LayerCase("ELU", "elu_param { alpha: -0.7 }", (SMOOTH,), suffix="negative_alpha"),
    LayerCase("ELU", "elu_param { alpha: 0 }", (SMOOTH,), suffix="zero_alpha"),
    LayerCase("Sigmoid"),
    LayerCase("Sigmoid", bottoms=((5,),), suffix="vector"),
    LayerCase("TanH"),
    LayerCase("TanH", bottoms=((3, 4),), suffix="rows"),
    LayerCase("Swish"),
    LayerCase("Swish", "swish_param { beta: 1.5 }", suffix="beta"),
    LayerCase("Swish", "swish_param { beta: 0 }", suffix="zero_beta"),
    LayerCase("BNLL"),
    LayerCase("BNLL", bottoms=(between(-40, 60),), suffix="far"),
    LayerCase("AbsVal", bottoms=(SMOOTH,)),
    LayerCase("AbsVal", bottoms=(away_from(0.0, shape=()),), suffix="scalar"),
    LayerCase("Exp"),
    LayerCase("Exp", "exp_param { scale: -1 }", suffix="decay"),
    LayerCase("Exp", "exp_param { base: 2 scale: 0.5 shift: -1.5 }", suffix="base_2"),
    LayerCase("Exp", "exp_param { base: 1 }", suffix="base_1"),
    LayerCase("Exp", "exp_param { scale: 0 shift: 2 }", suffix="constant"),
    LayerCase("Log", bottoms=(between(0.5, 3),)),
    LayerCase("Log", "log_param { base: 10 scale: 2 shift: 1 }", (between(0.5, 3),), suffix="base_10"),
    LayerCase("Log", "log_param { base: 0.5 scale: -1 shift: 4 }", (between(0.5, 3),), suffix="base_half"),
    LayerCase("Power", suffix="identity"),
    LayerCase("Power", "power_param { scale: -2 shift: 3 }", suffix="linear"),
    LayerCase("Power", "power_param { power: 2 scale: 0.5 shift: 1 }", suffix="square"),
    LayerCase("Power", "power_param { power: 2 }", suffix="plain_square"),
    LayerCase("Power", "power_param { power: 3 scale: 0.7 shift: -0.2 }", suffix="cube"),
    LayerCase("Power", "power_param { power: 0.5 scale: 2 shift: 1 }", (between(0.5, 3),), suffix="root"),
    LayerCase("Power", "power_param { power: -1.3 scale: 2 shift: 1 }", (between(0.5, 3),), suffix="negative"),
    LayerCase("Power", "power_param { power: 0 shift: 3 }", suffix="zeroth"),
    LayerCase("Power", "power_param { power: 2 scale: 0 shift: -3 }", suffix="constant"),
    LayerCase("Clip", "clip_param { min: -0.5 max: 1 }", (away_from(-0.5, 1.0),)),
    LayerCase("Clip", "clip_param { min: -2 max: -1 }", (away_from(-2.0, -1.0),), suffix="below_zero"),
    LayerCase("Threshold", bottoms=(SMOOTH,)),
    LayerCase("Threshold", "threshold_param { threshold: 0.3 }", (away_from(0.3),), suffix="above_zero"),
    LayerCase("Dropout", suffix="test"),
    LayerCase("Dropout", "dropout_param { dropout_ratio: 0.25 scale_train: false }", suffix="scaled_in_test"),
    LayerCase("Dropout", "dropout_param { dropout_ratio: 0 }", phase="TRAIN", suffix="zero"),
    LayerCase(
        "Dropout",
        "dropout_param { dropout_ratio: 0.3 }",
        phase="TRAIN",
        suffix="train",
        deterministic=False,
        gradient=False,
    ),
]
