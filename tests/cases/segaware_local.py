"""Cases of the layers on local windows of embeddings and labels, and of the fork's channel-wise layers."""

from __future__ import annotations

import numpy as np

from segcaffe.testing import LayerCase
from tests.cases.loss import labels
from tests.cases.window import distinct


def parity(shape: tuple[int, ...]):
    """Parities 0 and 1, some of them ignored."""
    return labels(*shape, classes=2, ignore=255)


def image_labels(_: np.random.Generator) -> np.ndarray:
    """The classes of two images."""
    return np.array([[0, 2, -1], [3, 1, 2]]).reshape(2, 3, 1, 1)


RANDOM = {"deterministic": False, "batched": False, "gradient": False}
WINDOW = "convolution_param { kernel_size: 3 pad: 1 }"
OVER_PADDED = "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad: 4 dilation: 2 }"

CASES = [
    LayerCase("Im2dist", WINDOW),
    LayerCase("Im2dist", WINDOW + "im2dist_param { norm: L1 }", suffix="l1"),
    LayerCase("Im2dist", "convolution_param { kernel_size: 3 }", suffix="no_pad"),
    LayerCase(
        "Im2dist",
        "convolution_param { kernel_size: 5 pad: 4 dilation: 2 } im2dist_param { norm: L1 }",
        suffix="l1_dilation",
    ),
    LayerCase("Im2dist", OVER_PADDED, suffix="centres_outside"),
    LayerCase("Im2dist", WINDOW + "im2dist_param { remove_center: true }", suffix="remove_center", gradient=False),
    LayerCase("Im2dist", WINDOW + "im2dist_param { remove_bounds: true }", suffix="remove_bounds", gradient=False),
    LayerCase("Im2dist", "convolution_param { kernel_size: 3 pad: 1 axis: 2 }", ((2, 2, 3, 4, 5),), suffix="axis"),
    LayerCase("Im2parity", WINDOW, (labels(2, 1, 5, 6, classes=3),)),
    LayerCase(
        "Im2parity",
        WINDOW + "im2parity_param { ignore_label: 255 }",
        (labels(2, 1, 5, 6, classes=3, ignore=255),),
        suffix="ignore",
    ),
    LayerCase(
        "Im2parity",
        OVER_PADDED + "im2parity_param { ignore_label: 0 }",
        (labels(2, 2, 5, 6, classes=3),),
        suffix="centres_outside",
    ),
    LayerCase(
        "DistLoss",
        "dist_loss_param { alpha: 0.5 beta: 2 }",
        ((2, 9, 4, 5), parity((2, 9, 4, 5))),
        gradient=False,
        batched=False,
    ),
    LayerCase(
        "DistLoss",
        "dist_loss_param { alpha: 0.5 beta: 2 ignore_label: 255 }",
        ((2, 9, 4, 5), parity((2, 9, 4, 5))),
        suffix="ignore",
        gradient=False,
        batched=False,
    ),
    LayerCase("SpatialProduct", bottoms=((2, 3, 4, 5), (2, 1, 4, 5))),
    LayerCase("SpatialProduct", bottoms=((2, 3), (2, 1)), suffix="rows"),
    LayerCase("ChannelReduce", "", (distinct(2, 6, 3, 4),)),
    LayerCase(
        "ChannelReduce", "channel_reduce_param { num_channels: 2 }", (distinct(2, 6, 3, 4),), suffix="max_groups"
    ),
    LayerCase(
        "ChannelReduce", "channel_reduce_param { num_channels: 3 operation: SUM }", ((2, 6, 3, 4),), suffix="sum"
    ),
    LayerCase("Replicate", "", ((2, 3, 4, 5),)),
    LayerCase("Replicate", "replicate_param { num_copies: 3 axis: -1 }", ((2, 3, 4),), suffix="last_axis"),
    LayerCase("Replicate", "replicate_param { num_copies: 2 axis: 0 }", ((2, 3),), suffix="batch", batched=False),
    LayerCase("BiasChannel", "", ((2, 4, 3, 5), image_labels)),
    LayerCase(
        "BiasChannel",
        "bias_channel_param { label_type: PIXEL bg_bias: 0.5 fg_bias: 3 background_label: 1 ignore_label: 255 }",
        ((2, 4, 3, 5), labels(2, 1, 3, 5, classes=4, ignore=255)),
        suffix="pixel",
    ),
    LayerCase(
        "BiasChannel",
        "bias_channel_param { label_type: PIXEL }",
        ((2, 4, 3, 5), labels(2, 1, 3, 5, classes=4)),
        suffix="pixel_without_background",
    ),
    LayerCase(
        "AdaptiveBiasChannel", "adaptive_bias_channel_param { num_iter: 2 }", ((2, 4, 3, 5), image_labels), **RANDOM
    ),
    LayerCase(
        "AdaptiveBiasChannel",
        "adaptive_bias_channel_param { suppress_others: false bg_portion: 1 fg_portion: 0.5 }",
        ((2, 4, 3, 5), image_labels),
        suffix="keep_others",
        **RANDOM,
    ),
    LayerCase(
        "UniqueLabel",
        "unique_label_param { max_labels: 8 ignore_label: 255 force_label: 7 }",
        (labels(2, 1, 5, 6, classes=5, ignore=255),),
    ),
]
