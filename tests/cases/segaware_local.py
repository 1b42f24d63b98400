"""Cases of the layers on local windows of embeddings and labels, and of the fork's channel-wise layers."""

from __future__ import annotations

from segcaffe.testing import LayerCase
from tests.cases.loss import labels


def parity(shape: tuple[int, ...]):
    """Parities 0 and 1, some of them ignored."""
    return labels(*shape, classes=2, ignore=255)


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
]
