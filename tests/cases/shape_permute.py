"""Cases of Permute and Transpose."""

from __future__ import annotations

from segcaffe.testing import LayerCase

CASES = [
    LayerCase("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", ((2, 3, 4, 5),)),
    LayerCase("Permute", "permute_param { order: [0, 3] }", ((2, 3, 4, 5),), suffix="rest_follows"),
    LayerCase("Permute", "permute_param { order: [0, 2, 1] }", ((2, 3, 4),), suffix="three_axes"),
    LayerCase("Permute", bottoms=((2, 3, 4, 5),), suffix="identity"),
    LayerCase("Transpose", "transpose_param { dim: [2, 0, 3, 1] }", ((2, 3, 4, 5),), batched=False),
    LayerCase("Transpose", bottoms=((2, 3, 4, 5),), suffix="pixels", batched=False),
    LayerCase("Transpose", bottoms=((2, 3, 4, 5, 6),), suffix="planes", batched=False),
]
