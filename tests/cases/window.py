"""Cases of the layers over windows of an image: pooling, resizing, cropping."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase


def distinct(*shape: int):
    """Values no two of which are closer than 0.1, so that small steps do not change which is the largest."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        return 0.1 * (rng.permutation(int(np.prod(shape))).reshape(shape) - 20)

    return draw


def positive(*shape: int):
    """Values 0.5 to 1.5."""
    return lambda rng: rng.uniform(0.5, 1.5, shape)


def pooling(suffix: str, options: str, values=None, **more) -> LayerCase:
    return LayerCase(
        "Pooling", f"pooling_param {{ {options} }}", (values or distinct(2, 3, 5, 6),), suffix=suffix, **more
    )


def places(*shape: int, pixels: int):
    """Places of a plane of so many pixels, no two alike in a channel, but for one that is none."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        drawn = np.stack([rng.permutation(pixels)[: shape[2] * shape[3]] for _ in range(shape[0] * shape[1])])
        drawn[0, 0] = -1
        return drawn.reshape(shape)

    return draw


def unpooling(suffix: str, options: str, pixels: int) -> LayerCase:
    bottoms = ((2, 3, 3, 4), places(2, 3, 3, 4, pixels=pixels))
    return LayerCase("Upsample", f"upsample_param {{ {options} }}", bottoms, suffix=suffix, no_gradient=(1,))


CASES = [
    unpooling("places", "scale: 2", 48),
    unpooling("places_sides", "scale_h: 1 scale_w: 3", 36),
    unpooling("places_padded", "pad_out_h: true pad_out_w: true", 35),
    unpooling("places_size", "upsample_h: 5 upsample_w: 9", 45),
    pooling("max", "kernel_size: 3 stride: 2 pad: 1"),
    pooling("max_stride1", "kernel_size: 3 pad: 1"),
    pooling("max_places", "kernel_size: 2 stride: 2", tops=2, gradient=False),
    pooling("max_global", "global_pooling: true"),
    pooling("max_floor", "kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 round_mode: FLOOR"),
    pooling("max_gaps", "kernel_size: 1 stride: 3", distinct(2, 3, 5, 5), gradient=False),
    pooling("average", "pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    pooling("average_overhang", "pool: AVE kernel_size: 4 stride: 3"),
    pooling("average_global", "pool: AVE global_pooling: true"),
    pooling("average_gaps", "pool: AVE kernel_size: 1 stride: 3", distinct(2, 3, 5, 5)),
    pooling("average_pixels", "pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1"),
    pooling("average_sides", "pool: AVE kernel_size: 3 stride: 2 pad_t: 1 pad_r: 2"),
    pooling("average_same", "pool: AVE_EXC_PAD kernel_size: 2 stride: 2 pad_type: 1"),
    pooling("average_dilated", "pool: AVE kernel_size: 2 pad: 1 dilation: 2"),
    pooling("max_dilated", "kernel_size: 2 stride: 2 kstride: 3 pad: 1"),
    pooling("max_sides", "kernel_size: 3 stride: 2 pad_b: 1 pad_r: 1 ceil_mode: false"),
    pooling("max_axes", "kernel_size_nd: [2, 3] stride_nd: [1, 2]"),
    pooling("max_volume", "kernel_size_nd: [2, 2, 3] stride_nd: [2, 1, 2] pad: 1", distinct(1, 2, 3, 4, 5)),
    pooling("average_volume", "pool: AVE kernel_size: 2 stride: 2 pad: 1", distinct(1, 2, 3, 4, 5)),
    pooling("stochastic_test", "pool: STOCHASTIC kernel_size: 3 stride: 2", positive(2, 3, 5, 6)),
    pooling(
        "stochastic_train",
        "pool: STOCHASTIC kernel_size: 3 stride: 2",
        positive(2, 3, 5, 6),
        phase="TRAIN",
        gradient=False,
        batched=False,
        deterministic=False,
    ),
    LayerCase("Interp", "interp_param { height: 9 width: 7 }", suffix="size"),
    LayerCase("Interp", "interp_param { height: 3 width: 4 }", suffix="smaller"),
    LayerCase("Interp", "interp_param { height: 1 width: 13 }", suffix="one_row"),
    LayerCase("Interp", "interp_param { zoom_factor: 4 }", suffix="zoom"),
    LayerCase("Interp", "interp_param { use_blob_size: true }", ((2, 3, 4, 5), (2, 1, 7, 6)), suffix="like_a_blob"),
    LayerCase("Interp", "interp_param { shrink_factor: 2 }", suffix="shrink"),
    LayerCase("Interp", "interp_param { shrink_factor: 3 zoom_factor: 2 }", ((2, 2, 8, 9),), suffix="shrink_zoom"),
    LayerCase("Interp", "interp_param { zoom_factor: 1 pad_beg: -1 pad_end: -2 }", suffix="crop"),
    LayerCase(
        "Interp", "interp_param { height: 8 width: 5 pad_beg: -2 pad_end: -1 }", ((1, 2, 7, 6),), suffix="crop_size"
    ),
    LayerCase("LRN", "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 k: 2 }", ((2, 7, 4, 5),)),
    LayerCase("LRN", "lrn_param { local_size: 3 alpha: 1 beta: 0.5 }", ((2, 2, 4, 5),), suffix="few_channels"),
    LayerCase(
        "LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL alpha: 0.7 }", ((2, 2, 5, 6),), suffix="within"
    ),
    LayerCase(
        "LRN", "lrn_param { local_size: 7 norm_region: WITHIN_CHANNEL k: 3 }", ((1, 2, 4, 5),), suffix="within_wide"
    ),
    LayerCase("SPP", "spp_param { pyramid_height: 3 }", (distinct(2, 3, 7, 9),)),
    LayerCase("SPP", "spp_param { pyramid_height: 2 pool: AVE }", (distinct(2, 3, 5, 6),), suffix="average"),
    LayerCase("SPP", "spp_param { pyramid_height: 1 }", (distinct(2, 3, 5, 6),), suffix="one_level"),
    LayerCase("Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", ((2, 3, 7, 8), (2, 3, 4, 5))),
    LayerCase("Crop", "", ((2, 3, 7, 8), (2, 3, 4, 5)), suffix="no_offset"),
    LayerCase(
        "Crop", "crop_param { axis: -2 offset: 2 }", ((2, 3, 7, 8), (5, 1, 4, 5)), suffix="from_the_end", batched=False
    ),
    LayerCase("Crop", "crop_param { axis: 0 offset: 1 }", ((3, 4, 5), (2, 3, 2)), suffix="all_axes", batched=False),
]
