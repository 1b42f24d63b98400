"""Cases of the losses that learn distances."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase

THREE = ((5, 4), (5, 4), (5, 4))


def _sets(options: str, suffix: str, items: int = 10) -> LayerCase:
    """Sets of a reference, one vector like it and others unlike it."""
    bottoms = ((items, 4, 1, 1), np.arange(items))
    return LayerCase("TripletLoss", f"triplet_loss_param {{ {options} }}", bottoms, suffix=suffix, batched=False)


CASES = [
    LayerCase("TripletLoss", bottoms=THREE, batched=False),
    LayerCase("TripletLoss", "triplet_loss_param { margin: 9 }", THREE, suffix="far", batched=False),
    _sets("", "ratio"),
    _sets("losstype: 0 margin: 3", "sets"),
    _sets("losstype: 0 num_triplets: 1", "pairs", 9),
    _sets("num_triplets: 2 margin: 0.5", "ratio_of_two", 8),
    LayerCase(
        "CenterLoss",
        'center_loss_param { num_output: 4 center_filler { type: "xavier" } }',
        ((5, 3, 2), np.array([0, 2, 2, 3, 0])),
        # The centres' gradient is not that of the loss.
        param_gradient=(),
        batched=False,
    ),
]
