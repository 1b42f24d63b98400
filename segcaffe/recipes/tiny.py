"""The paper's three steps in small: embeddings, convolutions through their masks, a CRF. Each trains in seconds.

For images of `segcaffe data make-scenes --classes`: three classes that a single pixel does not tell apart. Layers of
the same name have the same shapes in all nets, so each step starts from the last one's weights. All functions return
prototxt.
"""

from __future__ import annotations

from segcaffe.data.synthetic import CLASS_COLOURS, CLASS_NAMES
from segcaffe.recipes import embs
from segcaffe.recipes.embs import IGNORED, Images
from segcaffe.recipes.layers import (
    Value,
    convolution,
    eltwise,
    image_input,
    layer,
    max_pooling,
    net,
    note,
    relu,
    remark,
    shrink,
    zoom,
)

CLASSES = 3
EMBEDDING = 16
TRUNK = (("conv1", 24, 1), ("conv2", 32, 1), ("conv3", 48, 1), ("conv4", 48, 2), ("conv5", 48, 4))
POOL_AFTER = ("conv1", "conv2")
MASKED = {"conv3": 1, "conv4": 2, "conv5": 4}
"""Convolutions at a quarter of the resolution that look through masks, with their dilations."""


def train_embeddings(images: Images) -> str:
    """Write the net of the first step: distances to neighbours at several steps, against label agreement."""
    layers = [embs.pairs(images, train=True), *embedding()]
    for number, dilation in enumerate(embs.DILATIONS, start=1):
        layers += embs.distance_loss("" if number == 1 else str(number), dilation, 0.5, 2, embedding="emb")
    return net("tiny_embs", layers, "First step: embeddings, close together within a region, far apart across.")


def train_test(train: Images, test: Images, masked: bool, crf: bool, half: tuple[Value, Value]) -> str:
    """Write the net of the second or third step, for both phases.

    Parameters
    ----------
    masked:
        Whether convolutions look through masks from the embeddings.
    crf:
        Whether a mean field follows, at half the resolution.
    half:
        Side of that resolution in training and testing.
    """
    layers = []
    for images, phase in ((train, "TRAIN"), (test, "TEST")):
        layers.append(_in_phase(embs.pairs(images, train=phase == "TRAIN"), phase))
    layers += scores(masked)
    blob, factor = "score", 4
    if crf:
        positions = [_in_phase(_positions(side, images.batch_size), phase)
                     for images, side, phase in ((train, half[0], "TRAIN"), (test, half[1], "TEST"))]  # fmt: skip
        layers += [*positions, *mean_field()]
        blob, factor = "crf", 2
    layers += [
        zoom("scores", blob, factor),
        layer("SoftmaxWithLoss", "loss", ["scores", "label"], body=f"loss_param {{ ignore_label: {IGNORED} }}"),
        _in_phase(
            layer(
                "SegAccuracy",
                "accuracy",
                ["scores", "label"],
                body=f"seg_accuracy_param {{ ignore_label: {IGNORED} reset: true }}",
            ),
            "TEST",
        ),
    ]
    return net(f"tiny_{_kind(masked, crf)}", layers, f"{_kind(masked, crf)}: training and testing.")


def deploy(side: Value, half: Value, masked: bool, crf: bool) -> str:
    """Write the net from "data" (1, 3, side, side) to "scores" of the same size."""
    layers = [image_input(side, side, embs.RGB_SCALE), *scores(masked)]
    layers += [_positions(half, 1), *mean_field()] if crf else []
    layers.append(zoom("scores", "crf" if crf else "score", 2 if crf else 4))
    colours = ", ".join(" ".join(map(str, colour)) for colour in CLASS_COLOURS)
    notes = note("class_names", ", ".join(CLASS_NAMES)) + note("palette", colours)
    kind = _kind(masked, crf)
    return remark(f"{kind}: scores of one image.") + notes + net(f"tiny_{kind}", layers)


def embedding() -> list[str]:
    """From "data" to "emb" (N, 16, H, W); sizes are a multiple of 4 plus 1."""
    return [
        convolution("emb1", "data", 24),
        relu("emb1", "relu_emb1"),
        max_pooling("emb_pool1", "emb1"),
        convolution("emb2", "emb_pool1", 32),
        relu("emb2", "relu_emb2"),
        convolution("emb3", "emb2", 32),
        relu("emb3", "relu_emb3"),
        zoom("emb3_resized", "emb3", 2),
        layer("Concat", "fused", ["data", "emb1", "emb3_resized"]),
        convolution("emb", "fused", EMBEDDING, kernel=1, pad=0),
    ]


def scores(masked: bool) -> list[str]:
    """From "data" to "score" (N, 3, (H - 1) / 4 + 1, (W - 1) / 4 + 1), and with ``masked`` to "emb"."""
    layers = [*embedding(), shrink("emb_shrink4", "emb", 4)] if masked else []
    bottom = "data"
    for name, num_output, dilation in TRUNK:
        if masked and name in MASKED:
            channels = {below: outputs for below, outputs, _ in TRUNK}[bottom.replace("pool", "conv")]
            layers += masked_convolution(name, bottom, channels, num_output, dilation)
        else:
            layers.append(convolution(name, bottom, num_output, pad=dilation, dilation=dilation))
        layers.append(relu(name, name.replace("conv", "relu")))
        bottom = name
        if name in POOL_AFTER:
            bottom = name.replace("conv", "pool")
            layers.append(max_pooling(bottom, name))
    return [*layers, convolution("score", bottom, CLASSES, kernel=1, pad=0)]


def masked_convolution(name: str, bottom: str, channels: int, num_output: int, dilation: int) -> list[str]:
    """Write a 3x3 convolution of columns times exp(-|lambda distance|), with one learnt lambda."""
    window = f"kernel_size: 3 pad: {dilation} dilation: {dilation}"
    scale = 'num_axes: 0 filler { type: "constant" value: 0.3 } bias_term: false'
    return [
        layer(
            "Im2dist",
            f"{name}_dist",
            ["emb_shrink4"],
            body=f"convolution_param {{ {window} }}\nim2dist_param {{ norm: L1 }}",
        ),
        layer("Scale", f"{name}_sharpness", [f"{name}_dist"], body=f"scale_param {{ {scale} }}"),
        layer("AbsVal", f"{name}_abs", [f"{name}_sharpness"]),
        layer("Exp", f"{name}_mask", [f"{name}_abs"], body="exp_param { scale: -1 }"),
        layer("Tile", f"{name}_tiled", [f"{name}_mask"], body=f"tile_param {{ axis: 1 tiles: {channels} }}"),
        layer("Im2col", f"{name}_columns", [bottom], body=f"convolution_param {{ {window} }}"),
        eltwise(f"{name}_hit", [f"{name}_columns", f"{name}_tiled"], "PROD"),
        layer(
            "Convolution",
            name,
            [f"{name}_hit"],
            body=f"""
            param {{ lr_mult: 1 decay_mult: 1 }}
            param {{ lr_mult: 2 decay_mult: 0 }}
            convolution_param {{
              num_output: {num_output} {window} bottom_is_im2col: true
              weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }}
            }}
            """,
        ),
    ]


def mean_field() -> list[str]:
    """From "score", "emb" and the positions "xy" to "crf", at half the resolution."""
    filler = 'num_axes: 0 filler {{ type: "constant" value: {} }} bias_term: false'
    factors = (("scaled_xy", "xy", 0.05), ("scaled_emb", "emb_shrink2", 1.0), ("scaled_xy2", "xy", 0.2))
    return [
        zoom("score_big", "score", 2),
        shrink("emb_shrink2", "emb", 2),
        layer("Split", "splitting", ["score_big"], ["unary", "q0"]),
        *(layer("Scale", name, [bottom], body=f"scale_param {{ {filler.format(value)} }}")
          for name, bottom, value in factors),
        layer("Concat", "embxy", ["scaled_emb", "scaled_xy"]),
        layer("NormConvMeanfield", "crf", ["unary", "q0", "embxy", "scaled_xy2"], body="""
            norm_conv_meanfield_param {
              num_iterations: 2
              kernel_size: 7 pad: 9 dilation: 3 scale: 1 remove_center: true remove_bounds: true
              kernel_size: 3 pad: 1 dilation: 1 scale: 1 remove_center: true remove_bounds: true
            }
            """),
    ]  # fmt: skip


def solver(net_field: str, path: str, prefix: str, iterations: int, learning_rate: Value = 0.002) -> str:
    """Write the solver: Adam, the learning rate falling to zero. ``net_field`` is "net" or "train_net"."""
    tested = f"test_iter: 20\ntest_interval: {iterations}\ntest_initialization: false\n" if net_field == "net" else ""
    return f"""{net_field}: "{path}"
{tested}type: "Adam"
base_lr: {learning_rate}
lr_policy: "poly"
power: 0.9
momentum: 0.9
weight_decay: 0.0005
max_iter: {iterations}
display: 20
snapshot: {iterations}
snapshot_prefix: "{prefix}"
random_seed: 1
"""


def _in_phase(text: str, phase: str) -> str:
    """Restrict a layer to a phase."""
    head, brace, rest = text.partition("{")
    return f"{head}{brace} include {{ phase: {phase} }}{rest}"


def _positions(half: Value, batch_size: Value) -> str:
    shape = f"shape {{ dim: {batch_size} dim: 2 dim: {half} dim: {half} }}"
    return layer("DummyData", "xy", body=f'dummy_data_param {{ {shape} data_filler {{ type: "xy" }} }}')


def _kind(masked: bool, crf: bool) -> str:
    return ("segaware" if masked else "plain") + ("_crf" if crf else "")
