"""ENet in small: narrow bottlenecks at low resolution, and a decoder that puts values where pooling found them.

For road scenes as `segcaffe.recipes.camvid` describes them. [ENet: Paszke, Chaurasia, Kim, Culurciello, 2016].
All functions return prototxt.
"""

from __future__ import annotations

from segcaffe.recipes import camvid
from segcaffe.recipes.layers import eltwise, image_input, layer, net, note, remark

WIDTHS = (48, 96)
"""Channels at a quarter and an eighth of the resolution."""
KINDS = ("", "dilation: 2", "wide", "dilation: 4", "", "dilation: 8", "wide", "dilation: 2")
"""The bottlenecks at an eighth of the resolution: plain, dilated, or 5 x 1 and 1 x 5."""
STAGES = {"stage1": [("", 0.01)] * 2, "stage2": [(kind, 0.1) for kind in KINDS]}
"""For each bottleneck its kind, and which part of its channels is dropped in training."""


def train_test(root: str) -> str:
    """Write the net for both phases, of the lists below ``root``."""
    layers = [*camvid.data(root, 4), *scores(True), *camvid.loss("score")]
    return net("tiny_enet", layers, "ENet in small, for road scenes: training and testing.")


def deploy() -> str:
    """Write the net from one image to "score" (1, 11, H, W); statistics are folded into its BN layers."""
    layers = [image_input(*camvid.DEPLOYED, camvid.SCALE), *scores(False)]
    comment = "ENet in small, for one image. Weights: those that segcaffe weights fold-bn writes."
    return remark(comment) + note("class_names", ", ".join(camvid.NAMES)) + net("tiny_enet", layers)


def scores(learns: bool) -> list[str]:
    """From "data" to "score" (N, 11, H, W)."""
    pool = layer("Pooling", "initial_pool", ["data"], body="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    layers = [
        _convolution("initial_conv", "data", 13, "kernel_size: 3 pad: 1 stride: 2"),
        pool,
        layer("Concat", "initial", ["initial_conv", "initial_pool"]),
        camvid.batch_norm("initial", learns),
        _prelu("initial"),
    ]
    bottom = "initial"
    given = 13 + 3
    for name, width in (("stage1", WIDTHS[0]), ("stage2", WIDTHS[1])):
        layers += _shrinking(f"{name}_0", bottom, given, width, learns)
        bottom, given = f"{name}_0", width
        for number, (kind, dropped) in enumerate(STAGES[name], start=1):
            bottom = f"{name}_{number}"
            layers += _bottleneck(bottom, f"{name}_{number - 1}", width, kind, dropped, learns)
    for name, pooled, width, count in (("stage3", "stage2_0", WIDTHS[0], 2), ("stage4", "stage1_0", 16, 1)):
        layers += _growing(f"{name}_0", bottom, pooled, width, learns)
        for number in range(1, count + 1):
            bottom = f"{name}_{number}"
            layers += _bottleneck(bottom, f"{name}_{number - 1}", width, "", 0, learns)
    last = _convolution("score", bottom, camvid.CLASSES, "kernel_size: 2 stride: 2", "Deconvolution", bias=True)
    return [*layers, last]


def _bottleneck(name: str, bottom: str, width: int, kind: str, dropped: float, learns: bool) -> list[str]:
    """A narrow convolution between two of single pixels, added to what it was given."""
    narrow = width // 4
    layers = _block(f"{name}_in", bottom, narrow, "kernel_size: 1", learns)
    middle, inner = f"{name}_in", f"{name}_mid"
    if kind == "wide":
        layers.append(_convolution(f"{name}_high", middle, narrow, "kernel_h: 5 kernel_w: 1 pad_h: 2 pad_w: 0"))
        layers += _block(inner, f"{name}_high", narrow, "kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2", learns)
    else:
        pad = kind.rpartition(" ")[2] or "1"
        layers += _block(inner, middle, narrow, f"kernel_size: 3 pad: {pad} {kind}".rstrip(), learns)
    out = f"{name}_out"
    layers += [_convolution(out, inner, width, "kernel_size: 1"), camvid.batch_norm(out, learns)]
    return [*layers, *_joined(name, bottom, out, dropped)]


def _joined(name: str, main: str, branch: str, dropped: float) -> list[str]:
    """The sum of both ways; in training whole channels of the branch are dropped."""
    layers = []
    if dropped:
        options = f"dropout_param {{ dropout_ratio: {dropped} }}"
        layers.append(layer("SpatialDropout", f"{branch}_drop", [branch], [branch], options))
    return [*layers, eltwise(name, [main, branch], "SUM"), _prelu(name)]


def _shrinking(name: str, bottom: str, given: int, width: int, learns: bool) -> list[str]:
    """A bottleneck with max pooling beside it, whose places are kept in ``<name>_mask``; new channels begin at 0."""
    narrow = width // 4
    pooled = layer(
        "Pooling",
        f"{name}_pool",
        [bottom],
        [f"{name}_pool", f"{name}_mask"],
        "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
    )
    return [
        *_block(f"{name}_in", bottom, narrow, "kernel_size: 2 stride: 2", learns),
        *_block(f"{name}_mid", f"{name}_in", narrow, "kernel_size: 3 pad: 1", learns),
        _convolution(f"{name}_out", f"{name}_mid", width, "kernel_size: 1"),
        camvid.batch_norm(f"{name}_out", learns),
        pooled,
        _convolution(f"{name}_main", f"{name}_pool", width - given, "kernel_size: 1"),
        camvid.batch_norm(f"{name}_main", learns),
        layer("Concat", f"{name}_wide", [f"{name}_pool", f"{name}_main"]),
        *_joined(name, f"{name}_wide", f"{name}_out", 0),
    ]


def _growing(name: str, bottom: str, pooled: str, width: int, learns: bool) -> list[str]:
    """A bottleneck that doubles the resolution; beside it values go where the pooling of ``pooled`` found its own."""
    narrow = width // 4
    return [
        *_block(f"{name}_in", bottom, narrow, "kernel_size: 1", learns),
        _convolution(f"{name}_mid", f"{name}_in", narrow, "kernel_size: 2 stride: 2", "Deconvolution"),
        camvid.batch_norm(f"{name}_mid", learns),
        _prelu(f"{name}_mid"),
        _convolution(f"{name}_out", f"{name}_mid", width, "kernel_size: 1"),
        camvid.batch_norm(f"{name}_out", learns),
        _convolution(f"{name}_main", bottom, width, "kernel_size: 1"),
        camvid.batch_norm(f"{name}_main", learns),
        layer("Upsample", f"{name}_up", [f"{name}_main", f"{pooled}_mask"], body="upsample_param { scale: 2 }"),
        *_joined(name, f"{name}_up", f"{name}_out", 0),
    ]


def _block(name: str, bottom: str, width: int, window: str, learns: bool) -> list[str]:
    return [_convolution(name, bottom, width, window), camvid.batch_norm(name, learns), _prelu(name)]


def _prelu(name: str) -> str:
    return layer("PReLU", f"{name}_prelu", [name], [name])


def _convolution(
    name: str, bottom: str, width: int, window: str, type_name: str = "Convolution", *, bias: bool = False
) -> str:
    """Without a bias, which BN would take away."""
    options = f'num_output: {width} {window} weight_filler {{ type: "msra" }}'
    return layer(
        type_name,
        name,
        [bottom],
        body=f"convolution_param {{ {options}{'' if bias else ' bias_term: false'} }}",
    )
