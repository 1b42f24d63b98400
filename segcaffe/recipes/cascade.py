"""The published bilateral cascade: scores averaged over windows, twice, weighted by how alike embeddings are.

It has no parameters, so that it can be put behind any net that has scores and embeddings of one size.
`segcaffe.functional.bilateral_cascade` computes the same on arrays.
"""

from __future__ import annotations

from segcaffe.recipes.layers import Value, eltwise, layer

ROUNDS = ("halfsize", "two_halfsize")
CASCADED = f"{ROUNDS[-1]}_sharp_normalized"
"""The blob that holds what comes out."""
SHARPNESS = 50.0


def cascade(bottom: str, guide: str, classes: Value, sharpness: float = SHARPNESS) -> list[str]:
    """Average ``bottom`` (N, classes, H, W) over 9x9 windows, weighted by exp(-sharpness · distance in ``guide``)."""
    window, first = "convolution_param { kernel_size: 9 pad: 4 }", ROUNDS[0]
    scale = f'num_axes: 0 filler {{ type: "constant" value: {sharpness:g} }} bias_term: false'
    total = f"channel_reduce_param {{ num_channels: {classes} operation: SUM }}"
    flat, inverse = f"{first}_dist_flat_2", f"{first}_oneover_dist_flat_2"
    layers = [
        layer("Im2dist", f"{first}_dist_avg", [guide], body=f"{window} im2dist_param {{ norm: L1 }}"),
        layer(
            "Scale",
            f"{first}_dist_sc",
            [f"{first}_dist_avg"],
            body=f"param {{ lr_mult: 0 decay_mult: 0 }}\nscale_param {{ {scale} }}",
        ),
        layer("Exp", f"{first}_dist_exp", [f"{first}_dist_sc"], body="exp_param { scale: -1 }"),
        layer("Tile", f"{first}_dist_2", [f"{first}_dist_exp"], body=f"tile_param {{ axis: 1 tiles: {classes} }}"),
        layer("ChannelReduce", flat, [f"{first}_dist_2"], body=total),
        layer("Power", f"{flat}_shift", [flat], body="power_param { shift: 0.0001 }"),
        layer("Power", inverse, [f"{flat}_shift"], body="power_param { power: -1 }"),
    ]
    for turn in ROUNDS:
        columns, hit, sharp = f"{turn}_fc_col", f"{turn}_hit", f"{turn}_sharp"
        layers += [
            layer("Im2col", columns, [bottom], body=window),
            eltwise(hit, [columns, f"{first}_dist_2"], "PROD"),
            layer("ChannelReduce", sharp, [hit], body=total),
            eltwise(f"{sharp}_normalized", [sharp, inverse], "PROD"),
        ]
        bottom = f"{sharp}_normalized"
    return layers
