"""SegNet in small: max pooling remembers where it found each maximum, and the decoder puts values back there.

For road scenes as `segcaffe.recipes.camvid` describes them. [SegNet: Badrinarayanan, Kendall, Cipolla, PAMI 2017].
All functions return prototxt.
"""

from __future__ import annotations

from segcaffe.recipes import camvid
from segcaffe.recipes.layers import image_input, layer, net, note, relu, remark

WIDTHS = (24, 32, 48, 64)
"""Channels of the encoders, each at half the resolution of the one before."""


def train_test(root: str) -> str:
    """Write the net for both phases, of the lists below ``root``."""
    layers = [*camvid.data(root, 4), *scores(True), *camvid.loss("score")]
    return net("tiny_segnet", layers, "SegNet in small, for road scenes: training and testing.")


def deploy() -> str:
    """Write the net from one image to "score" (1, 11, H, W); statistics are folded into its BN layers."""
    layers = [image_input(*camvid.DEPLOYED, camvid.SCALE), *scores(False)]
    comment = "SegNet in small, for one image. Weights: those that segcaffe weights fold-bn writes."
    return remark(comment) + note("class_names", ", ".join(camvid.NAMES)) + net("tiny_segnet", layers)


def scores(learns: bool) -> list[str]:
    """From "data" to "score" (N, 11, H, W)."""
    layers, bottom = [], "data"
    for level, width in enumerate(WIDTHS, start=1):
        layers += [*_block(f"conv{level}", bottom, width, learns), relu(f"conv{level}", f"relu{level}")]
        tops = [f"pool{level}", f"pool{level}_mask"]
        body = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        layers.append(layer("Pooling", f"pool{level}", [f"conv{level}"], tops, body))
        bottom = f"pool{level}"
    for level in range(len(WIDTHS), 0, -1):
        up, width = f"upsample{level}", WIDTHS[max(level - 2, 0)]
        layers.append(layer("Upsample", up, [bottom, f"pool{level}_mask"], body="upsample_param { scale: 2 }"))
        bottom = f"conv_decode{level}"
        layers += [*_block(bottom, up, width, learns), relu(bottom, f"relu_decode{level}")]
    return [*layers, _convolution("score", bottom, camvid.CLASSES, 1)]


def _block(name: str, bottom: str, width: int, learns: bool) -> list[str]:
    return [_convolution(name, bottom, width, 5), camvid.batch_norm(name, learns)]


def _convolution(name: str, bottom: str, width: int, kernel: int) -> str:
    return layer(
        "Convolution",
        name,
        [bottom],
        body=f"""
        param {{ lr_mult: 1 decay_mult: 1 }}
        param {{ lr_mult: 2 decay_mult: 0 }}
        convolution_param {{
          num_output: {width} kernel_size: {kernel} pad: {kernel // 2}
          weight_filler {{ type: "msra" }} bias_filler {{ type: "constant" }}
        }}
        """,
    )
