"""Cases of the layers that move, combine or select values."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def distinct(part: int, parts: int, *shape: int):
    """Values that differ by at least 0.05 from those of the other parts of ``parts`` arrays at the same place."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        order = np.random.default_rng(5).permuted(np.tile(np.arange(parts), (*shape, 1)), axis=-1)
        return order[..., part] * 0.3 + rng.uniform(0, 0.2, shape)

    return draw


def not_zero(*shape: int):
    """Normal values of size at least 0.1."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(shape)
        return np.copysign(np.abs(values) + 0.1, values)

    return draw


X = (2, 3, 4, 5)
CASES = [
    LayerCase("Eltwise", bottoms=(X, X), suffix="sum"),
    LayerCase("Eltwise", "eltwise_param { coeff: 1 coeff: -0.5 coeff: 0 }", (X, X, X), suffix="coefficients"),
    LayerCase("Eltwise", "eltwise_param { operation: PROD }", (X, X), suffix="product"),
    LayerCase("Eltwise", "eltwise_param { operation: PROD }", (X, X, X, X), suffix="product_of_four"),
    LayerCase(
        "Eltwise",
        "eltwise_param { operation: PROD stable_prod_grad: false }",
        (not_zero(*X), not_zero(*X), not_zero(*X)),
        suffix="quotient",
    ),
    LayerCase(
        "Eltwise", "eltwise_param { operation: MAX }", tuple(distinct(i, 2, *X) for i in range(2)), suffix="maximum"
    ),
    LayerCase(
        "Eltwise",
        "eltwise_param { operation: MAX coeff: 2 coeff: 2 coeff: 3 coeff: 4 }",
        tuple(distinct(i, 4, *X) for i in range(4)),
        suffix="maximum_of_four",
    ),
    LayerCase(
        "Eltwise",
        "eltwise_param { operation: MIN }",
        tuple(distinct(i, 4, *X) for i in range(4)),
        suffix="minimum_of_four",
    ),
    LayerCase("Eltwise", "eltwise_param { operation: DIV }", (X, not_zero(*X)), suffix="quotient_of_two"),
    LayerCase("Eltwise", "eltwise_param { axis: 1 coeff: 2 coeff: 3 }", (X, (3,)), suffix="channels", batched=False),
    LayerCase(
        "Eltwise", "eltwise_param { operation: PROD axis: -2 }", (X, (4, 5), X), suffix="last_axes", batched=False
    ),
    LayerCase("Eltwise", "eltwise_param { operation: DIV }", (X, not_zero(2, 3)), suffix="quotient_of_rows"),
    LayerCase(
        "Eltwise",
        "eltwise_param { operation: MIN axis: 1 }",
        (distinct(0, 2, *X), lambda rng: np.array([0.15, 0.55, 0.15])),
        suffix="minimum_of_channels",
        batched=False,
    ),
    LayerCase("Eltwise", bottoms=(X, ()), suffix="one_number", batched=False),
    LayerCase("Eltwise", bottoms=((), ()), suffix="scalars"),
    LayerCase("Eltwise", bottoms=((2, 3, 2, 2, 3), (2, 3, 2, 2, 3)), suffix="five_axes"),
    LayerCase("Concat", bottoms=((2, 3, 4), (2, 1, 4), (2, 2, 4))),
    LayerCase("Concat", "concat_param { axis: 0 }", ((2, 3), (1, 3)), suffix="batch", batched=False),
    LayerCase("Concat", "concat_param { axis: -1 }", ((2, 3, 4), (2, 3, 1)), suffix="last_axis"),
    LayerCase("Concat", "concat_param { concat_dim: 2 }", ((2, 3, 4, 5), (2, 3, 2, 5)), suffix="old_name"),
    LayerCase("Concat", bottoms=((2, 3, 4),), suffix="one"),
    LayerCase("Concat", "concat_param { axis: 3 }", ((2, 1, 2, 3, 2), (2, 1, 2, 1, 2)), suffix="five_axes"),
    LayerCase("Slice", bottoms=((2, 6, 3),), tops=3, suffix="even"),
    LayerCase("Slice", "slice_param { slice_point: 1 slice_point: 3 }", ((2, 6, 3),), tops=3, suffix="points"),
    LayerCase("Slice", "slice_param { slice_dim: 2 }", ((2, 3, 4, 5),), tops=2, suffix="old_name"),
    LayerCase("Slice", "slice_param { axis: -1 slice_point: 2 }", ((2, 3, 5),), tops=2, suffix="last_axis"),
    LayerCase("Slice", "slice_param { axis: 0 }", ((4, 3),), tops=2, suffix="batch", batched=False),
    LayerCase("Slice", bottoms=((2, 3, 4),), suffix="one"),
    LayerCase("Split", tops=3),
    LayerCase("Split", tops=1, suffix="one"),
    LayerCase("Split", bottoms=((),), tops=2, suffix="scalar"),
    LayerCase("Tile", "tile_param { tiles: 4 }"),
    LayerCase("Tile", "tile_param { axis: 0 tiles: 2 }", ((3, 4),), suffix="batch", batched=False),
    LayerCase("Tile", "tile_param { axis: -1 tiles: 3 }", suffix="last_axis"),
    LayerCase("Tile", "tile_param { axis: 2 tiles: 1 }", suffix="once"),
    LayerCase("Flatten"),
    LayerCase("Flatten", "flatten_param { axis: 0 }", suffix="all", batched=False),
    LayerCase("Flatten", "flatten_param { axis: -3 end_axis: -2 }", suffix="middle"),
    LayerCase("Flatten", bottoms=((4, 5),), suffix="nothing"),
    LayerCase("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 5 } }", (X,)),
    LayerCase("Reshape", "reshape_param { shape { dim: 2 dim: 6 } axis: 1 num_axes: 2 }", (X,), suffix="middle"),
    LayerCase("Reshape", "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }", (X,), suffix="append"),
    LayerCase("Reshape", "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }", (X,), suffix="insert"),
    LayerCase("Reshape", "reshape_param { shape { dim: -1 } axis: -3 }", (X,), suffix="from_the_end"),
    LayerCase("Reshape", "reshape_param { shape { } }", ((1, 1),), suffix="to_scalar", batched=False),
    LayerCase("Silence", bottoms=(X, (2, 3)), tops=0),
    LayerCase("BatchReindex", bottoms=((4, 2, 3), np.array([3, 0, 0, 2, 3])), batched=False),
    LayerCase("BatchReindex", bottoms=((4,), np.array([1.0])), suffix="vector", batched=False),
    LayerCase(
        "Filter", bottoms=((5, 2, 3), (5, 4), np.array([0, 1, 1, 0, 2])), tops=2, no_gradient=(2,), batched=False
    ),
    LayerCase("Filter", bottoms=((3, 2), np.ones((3, 1, 1))), no_gradient=(1,), suffix="everything", batched=False),
    LayerCase("Parameter", "parameter_param { shape { dim: 3 dim: 4 } }", ()),
    LayerCase("Parameter", "parameter_param { shape { } }", (), suffix="scalar"),
    *[
        LayerCase(
            "Reduction",
            f"reduction_param {{ operation: {op} {options} }}",
            (not_zero(*X),),
            suffix=f"{op}{suffix}",
            batched=bool(suffix),
        )
        for op in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for options, suffix in (("", ""), ("axis: 1 coeff: -2", "_items"), ("axis: -1 coeff: 3", "_last_axis"))
    ],
    LayerCase("Reduction", bottoms=((),), suffix="scalar"),
]
