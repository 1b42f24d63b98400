"""Cases of the layers that normalize."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def batch_norm_case(
    suffix: str,
    options: str,
    shape: tuple[int, ...] = (4, 3, 4, 5),
    channels: int = 3,
    phase="TEST",
    batched=None,
    learns: bool = False,
) -> LayerCase:
    """A batch, stored variances above 0 and a factor."""
    stored = np.linspace(0.5, 2, channels)
    return LayerCase(
        "BatchNorm",
        options,
        (shape,),
        suffix=suffix,
        phase=phase,
        params={1: stored, 2: np.array([1.5])},
        param_gradient=(3, 4)[: 1 if "bias_term: false" in options else 2] if learns else (),
        batched="use_global_stats: true" in options or phase == "TEST" if batched is None else batched,
    )


def bn_case(suffix: str, options: str, phase="TRAIN", **more) -> LayerCase:
    """A BN of SegNet's or PSPNet's, whose stored variances lie above 0."""
    frozen, four = "frozen" in options, "slope" in options or "frozen" in options
    params = {3: np.linspace(0.5, 2, 3).reshape(1, 3, 1, 1)} if four else {}
    more = {"bottoms": ((4, 3, 4, 5),), "params": params, "param_gradient": () if frozen else (0, 1)} | more
    return LayerCase("BN", f"bn_param {{ {options} }}", suffix=suffix, phase=phase, **more)


CASES = [
    LayerCase("Softmax", bottoms=((2, 3, 4, 5),)),
    LayerCase("Softmax", bottoms=((3, 7),), suffix="rows"),
    LayerCase("Softmax", "softmax_param { axis: 0 }", ((4, 3),), suffix="axis0", batched=False),
    LayerCase("Softmax", "softmax_param { axis: -1 }", ((2, 3, 6),), suffix="last_axis"),
    LayerCase("Softmax", bottoms=((1, 4, 20, 30),), suffix="several_blocks"),
    batch_norm_case("train", "", phase="TRAIN"),
    batch_norm_case("scale_bias", "batch_norm_param { scale_bias: true }", phase="TRAIN", learns=True),
    batch_norm_case("scale_bias_test", "batch_norm_param { scale_bias: true eps: 1e-3 }", learns=True),
    batch_norm_case("scale", "batch_norm_param { filler { value: 2 } bias_term: false }", phase="TRAIN", learns=True),
    batch_norm_case("eps_behind", "batch_norm_param { add_eps_before_sqrt: false eps: 0.1 }"),
    batch_norm_case("test", "batch_norm_param { eps: 1e-3 }"),
    batch_norm_case("batch_stats_in_test", "batch_norm_param { use_global_stats: false eps: 0.1 }", batched=False),
    batch_norm_case("stored_in_train", "batch_norm_param { use_global_stats: true }", phase="TRAIN"),
    batch_norm_case("rows", "", (6, 3), phase="TRAIN", batched=False),
    batch_norm_case("one_axis", "", (6,), phase="TRAIN", batched=False, channels=1),
    LayerCase(
        "BatchNorm",
        "batch_norm_param { use_global_stats: true update_global_stats: true }",
        ((4, 3, 4, 5),),
        phase="TRAIN",
        suffix="update_stored",
        params={1: np.ones(3), 2: np.array([1.5])},
        param_gradient=(),
        deterministic=False,
        gradient=False,
    ),
    bn_case("batch", "scale_filler { value: 1 } bn_mode: LEARN", batched=False),
    bn_case("batch_in_test", "shift_filler { value: 0.001 }", "TEST", batched=False),
    bn_case("batch_shown", "bn_mode: LEARN", tops=3, gradient=False, batched=False),
    bn_case("folded", "bn_mode: INFERENCE", "TEST"),
    bn_case("averaged", "slope_filler { value: 1 } momentum: 0.75 eps: 1e-3", batched=False),
    bn_case("averages", "slope_filler { value: 1 }", "TEST"),
    bn_case("frozen", "frozen: true"),
    bn_case("rows", "slope_filler { value: 1 }", bottoms=((6, 3),), batched=False),
    LayerCase("MVN", bottoms=((2, 3, 4, 5),)),
    LayerCase("MVN", "mvn_param { across_channels: true eps: 1e-7 }", ((2, 3, 4, 5),), suffix="across_channels"),
    LayerCase("MVN", "mvn_param { normalize_variance: false }", ((2, 3, 4, 5),), suffix="mean_only"),
    LayerCase("MVN", bottoms=((4,),), suffix="one_axis"),
]
