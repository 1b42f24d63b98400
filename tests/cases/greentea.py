"""Cases of the layers of Greentea's Caffe."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def _distinct(*shape: int):
    """Values in (0, 1) that all differ."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        count = np.prod(shape)
        return ((rng.permutation(count) + 0.5) / count).reshape(shape)

    return draw


def _labels(*shape: int, most: int = 3):
    def draw(rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, most, shape)

    return draw


def _merge(options: str, suffix: str, a: tuple[int, ...], b: tuple[int, ...], gradient: bool = True) -> LayerCase:
    return LayerCase("MergeCrop", f"mergecrop_param {{ {options} }}", (a, b), suffix=suffix, gradient=gradient)


def _malis(suffix: str, shape: tuple[int, ...], areas: int = 1, edges: tuple = (), tops: int = 1) -> LayerCase:
    """The second top passes no gradient on."""
    pixels = (shape[0], areas, *shape[2:])
    bottoms = (_distinct(*shape), _labels(*shape, most=2), _labels(*pixels, most=4), *edges)
    return LayerCase("MalisLoss", "", bottoms, tops, suffix=suffix, gradient=tops == 1, batched=False)


BOTH = "backward: true backward: true"
CASES = [
    _merge(BOTH, "", (2, 3, 4, 5), (2, 2, 7, 9)),
    _merge(f"operation: ADD {BOTH}", "add", (2, 3, 4, 5), (2, 3, 4, 8)),
    _merge(BOTH, "volumes", (1, 1, 2, 3, 2), (1, 2, 5, 4, 4)),
    _merge("forward: false forward: true", "one_forward", (2, 3, 4, 5), (2, 2, 7, 9), gradient=False),
    _merge("operation: ADD forward: true forward: false", "add_one", (2, 3, 4, 5), (2, 3, 7, 9), gradient=False),
    LayerCase("Mergecrop", "mergecrop_param { backward: true backward: true }", ((2, 3, 4, 5), (2, 2, 5, 6))),
    LayerCase("ConvolutionSK", "convolution_param { num_output: 2 kernel_size: 3 kstride: 2 }", ((2, 3, 7, 8),)),
    LayerCase("PoolingSK", "pooling_param { pool: MAX kernel_size: 2 stride: 1 kstride: 2 }", (_distinct(2, 3, 7, 8),)),
    LayerCase("Affinity", bottoms=(_distinct(2, 3, 5, 6),)),
    LayerCase(
        "Affinity",
        "affinity_param { offset: 1 offset: 0 }",
        (_distinct(2, 2, 5, 6), _distinct(1, 1, 3, 4)),
        tops=2,
        suffix="offsets",
        batched=False,
    ),
    LayerCase("ConnectedComponent", bottoms=(_labels(2, 2, 7, 8),)),
    LayerCase(
        "MalisLoss", bottoms=(_distinct(1, 2, 4, 4), _labels(1, 2, 4, 4, most=2), _labels(1, 1, 4, 4)), batched=False
    ),
    _malis("items", (2, 2, 4, 5)),
    _malis("affinities", (2, 2, 3, 3), tops=2),
    _malis("two_areas", (1, 2, 4, 5), areas=2),
    _malis("volume", (1, 3, 2, 3, 3)),
    _malis("row", (2, 1, 7)),
    _malis("edges", (1, 4, 4, 5), edges=(np.array([[0, 1, 0], [0, 0, -1], [0, 1, 2], [0, -2, 1]]),)),
]
