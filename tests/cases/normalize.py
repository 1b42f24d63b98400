"""Cases of the layers that normalize."""

from __future__ import annotations

from segcaffe.testing import LayerCase

CASES = [
    LayerCase("Softmax", bottoms=((2, 3, 4, 5),)),
    LayerCase("Softmax", bottoms=((3, 7),), suffix="rows"),
    LayerCase("Softmax", "softmax_param { axis: 0 }", ((4, 3),), suffix="axis0", batched=False),
    LayerCase("Softmax", "softmax_param { axis: -1 }", ((2, 3, 6),), suffix="last_axis"),
    LayerCase("Softmax", bottoms=((1, 4, 20, 30),), suffix="several_blocks"),
]
