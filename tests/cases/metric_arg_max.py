"""Cases of ArgMax."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def few_values(*shape: int):
    """Whole numbers 0 to 3, so that many are equal."""
    return lambda rng: rng.integers(0, 4, shape).astype(np.float64)


CASES = [
    LayerCase("ArgMax"),
    LayerCase("ArgMax", "argmax_param { axis: 1 }", (few_values(2, 5, 3, 4),), suffix="channels"),
    LayerCase("ArgMax", "argmax_param { axis: 1 out_max_val: true }", suffix="channel_values"),
    LayerCase("ArgMax", "argmax_param { axis: -1 top_k: 2 }", (few_values(2, 5, 6),), suffix="last_axis"),
    LayerCase("ArgMax", "argmax_param { axis: 0 top_k: 2 }", ((4, 3),), suffix="batch", batched=False),
    LayerCase("ArgMax", "argmax_param { top_k: 3 out_max_val: true }", ((3, 10),), suffix="rows"),
    LayerCase("ArgMax", "argmax_param { top_k: 4 }", (few_values(2, 3, 2, 2),), suffix="items"),
]
