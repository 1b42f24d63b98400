"""The paper's three steps in small: embeddings, convolutions through their masks, a CRF. Each trains in seconds.

For images of `segcaffe data make-scenes --classes`: three classes that a single pixel does not tell apart. Layers of
the same name have the same shapes in all nets, so each step starts from the last one's weights. All functions return
prototxt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from segcaffe.data.synthetic import CLASS_COLOURS, CLASS_NAMES
from segcaffe.recipes import embs
from segcaffe.recipes.cascade import CASCADED, cascade
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
SHRINK = {"conv1": 1, "conv2": 2, "conv3": 4, "conv4": 4, "conv5": 4}
"""How much smaller than the image what a convolution reads is."""

EMBEDDED, COLOURS = "emb", "data"
"""The blobs of embeddings and of the image."""

CASCADE_SHARPNESS = 3.0
"""Weights of the cascade fall with it; the published 50 is for embeddings whose distances are much smaller."""


@dataclass(frozen=True)
class Masks:
    """How convolutions look through the masks exp(-|lambda distance|) of embeddings.

    Attributes
    ----------
    layers:
        The convolutions of the trunk that do; without any there are no embeddings.
    norm:
        Of the distance: L1, or L2, which is half the sum of squares.
    sharpness, learnt:
        lambda, one for each convolution, at the start of training, and whether it learns.
    normalized:
        Whether a window's weights are divided by their mean, so that results keep their size.
    rate:
        Multiplies the learning rate of the embeddings.
    guide:
        The blob whose distances they are: "emb", or "data", the image's colours, which need no embeddings.
    """

    layers: tuple[str, ...] = ("conv3", "conv4", "conv5")
    norm: str = "L1"
    sharpness: float = 0.3
    learnt: bool = True
    normalized: bool = False
    rate: float = 1
    guide: str = EMBEDDED


@dataclass(frozen=True)
class Crf:
    """The mean field: how often it is iterated, the dilation of its 7x7 window on embeddings, and what they are.

    Attributes
    ----------
    guide, factor:
        The blob in the place of embeddings, "emb" or "data", the image's colours; what it is multiplied by at the start
        of training.
    """

    iterations: int = 2
    dilation: int = 3
    guide: str = EMBEDDED
    factor: float = 1


@dataclass(frozen=True)
class Model:
    """A net of the second or third step: plain where it has neither ``masks`` nor ``crf``.

    Attributes
    ----------
    cascade:
        Whether, when images are predicted, the published bilateral cascade averages the scores, at half the
        resolution; it has no parameters.
    classes:
        Number of classes.
    """

    masks: Masks | None = None
    crf: Crf | None = None
    cascade: bool = False
    classes: int = CLASSES

    @property
    def kind(self) -> str:
        """Its name."""
        parts = ("segaware" if self.masks else "plain", "crf" if self.crf else "", "cascade" if self.cascade else "")
        return "_".join(filter(None, parts))


def train_embeddings(images: Images) -> str:
    """Write the net of the first step: distances to neighbours at several steps, against label agreement."""
    layers = [embs.pairs(images, train=True), *embedding()]
    for number, dilation in enumerate(embs.DILATIONS, start=1):
        layers += embs.distance_loss("" if number == 1 else str(number), dilation, 0.5, 2, embedding="emb")
    return net("tiny_embs", layers, "First step: embeddings, close together within a region, far apart across.")


def train_test(train: Images, test: Images, model: Model, half: tuple[Value, Value]) -> str:
    """Write the net of the second or third step, for both phases, without a cascade.

    Parameters
    ----------
    half:
        Side of half the resolution in training and testing.
    """
    model = replace(model, cascade=False)
    layers = []
    for images, phase in ((train, "TRAIN"), (test, "TEST")):
        layers.append(_in_phase(embs.pairs(images, train=phase == "TRAIN"), phase))
    layers += scores(model)
    if model.crf:
        layers += [_in_phase(_positions((side, side), images.batch_size), phase)
                   for images, side, phase in ((train, half[0], "TRAIN"), (test, half[1], "TEST"))]  # fmt: skip
    layers += [
        *_to_full_size(model),
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
    return net(f"tiny_{model.kind}", layers, f"{model.kind}: training and testing.")


def deploy(size: tuple[Value, Value], half: tuple[Value, Value], model: Model, named: bool = True) -> str:
    """Write the net from "data" (1, 3, H, W) to "scores" of the same size.

    Parameters
    ----------
    size, half:
        Height and width, each a multiple of 4 plus 1, and those of half the resolution.
    named:
        Whether the classes are those of generated scenes, whose names and colours the file then has.
    """
    layers = [image_input(*size, embs.RGB_SCALE), *scores(model)]
    layers += [_positions(half, 1)] if model.crf else []
    layers += _to_full_size(model)
    colours = ", ".join(" ".join(map(str, colour)) for colour in CLASS_COLOURS)
    notes = note("class_names", ", ".join(CLASS_NAMES)) + note("palette", colours) if named else ""
    return remark(f"{model.kind}: scores of one image.") + notes + net(f"tiny_{model.kind}", layers)


def embedding(rate: float = 1) -> list[str]:
    """From "data" to "emb" (N, 16, H, W); sizes are a multiple of 4 plus 1. ``rate`` multiplies the learning rate."""

    def learning(name: str, bottom: str, num_output: int, kernel: int = 3) -> str:
        return convolution(name, bottom, num_output, kernel, kernel // 2, lr=rate, bias_lr=2 * rate)

    return [
        learning("emb1", "data", 24),
        relu("emb1", "relu_emb1"),
        max_pooling("emb_pool1", "emb1"),
        learning("emb2", "emb_pool1", 32),
        relu("emb2", "relu_emb2"),
        learning("emb3", "emb2", 32),
        relu("emb3", "relu_emb3"),
        zoom("emb3_resized", "emb3", 2),
        layer("Concat", "fused", ["data", "emb1", "emb3_resized"]),
        learning("emb", "fused", EMBEDDING, kernel=1),
    ]


def scores(model: Model) -> list[str]:
    """From "data" to "score" (N, classes, (H - 1) / 4 + 1, (W - 1) / 4 + 1), and to "emb" where anything reads it."""
    masks = model.masks or Masks(layers=())
    read = _maps_read(model)
    layers = embedding(masks.rate) if any(guide == EMBEDDED for guide, _ in read) else []
    layers += [shrink(_shrunk(*one), *one) for one in sorted(read) if one[1] > 1]
    bottom, channels = "data", 3
    for name, num_output, dilation in TRUNK:
        if name in masks.layers:
            layers += masked_convolution(name, bottom, (channels, num_output), dilation, masks)
        else:
            layers.append(convolution(name, bottom, num_output, pad=dilation, dilation=dilation))
        layers.append(relu(name, name.replace("conv", "relu")))
        bottom, channels = name, num_output
        if name in POOL_AFTER:
            bottom = name.replace("conv", "pool")
            layers.append(max_pooling(bottom, name))
    return [*layers, convolution("score", bottom, model.classes, kernel=1, pad=0)]


def _maps_read(model: Model) -> set[tuple[str, int]]:
    """The blobs that distances are of, each with how much smaller than the image it is read."""
    masks = model.masks or Masks(layers=())
    read = {(masks.guide, SHRINK[name]) for name in masks.layers}
    if model.crf:
        read.add((model.crf.guide, 2))
    return read | ({(EMBEDDED, 2)} if model.cascade else set())


def _shrunk(guide: str, factor: int) -> str:
    return guide if factor == 1 else f"{guide}_shrink{factor}"


def masked_convolution(name: str, bottom: str, channels: tuple[int, int], dilation: int, masks: Masks) -> list[str]:
    """Write a 3x3 convolution of ``channels`` (in, out) through a mask, with one lambda."""
    guide = _shrunk(masks.guide, SHRINK[name])
    window = f"kernel_size: 3 pad: {dilation}" + (f" dilation: {dilation}" if dilation > 1 else "")
    fillers = 'weight_filler { type: "xavier" } bias_filler { type: "constant" }'
    start = f'{{ type: "constant" value: {masks.sharpness} }}'
    rate = "" if masks.learnt else "param { lr_mult: 0 decay_mult: 0 }\n"
    if masks.normalized:
        body = f"""
        param {{ lr_mult: 1 decay_mult: 1 }}
        param {{ lr_mult: 2 decay_mult: 0 }}
        {rate or "param { lr_mult: 1 decay_mult: 0 }"}
        convolution_param {{ num_output: {channels[1]} {window} {fillers} }}
        norm_conv_param {{ norm: {masks.norm} scale_by_taps: true scale_filler {start} }}
        """
        return [layer("NormConv", name, [bottom, guide], body=body)]
    return [
        layer(
            "Im2dist",
            f"{name}_dist",
            [guide],
            body=f"convolution_param {{ {window} }}\nim2dist_param {{ norm: {masks.norm} }}",
        ),
        layer(
            "Scale",
            f"{name}_sharpness",
            [f"{name}_dist"],
            body=f"{rate}scale_param {{ num_axes: 0 filler {start} bias_term: false }}",
        ),
        layer("AbsVal", f"{name}_abs", [f"{name}_sharpness"]),
        layer("Exp", f"{name}_mask", [f"{name}_abs"], body="exp_param { scale: -1 }"),
        layer("Tile", f"{name}_tiled", [f"{name}_mask"], body=f"tile_param {{ axis: 1 tiles: {channels[0]} }}"),
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
              num_output: {channels[1]} {window} bottom_is_im2col: true
              {fillers}
            }}
            """,
        ),
    ]


def mean_field(crf: Crf) -> list[str]:
    """From "score_big", its guide and the positions "xy" to "crf", at half the resolution."""
    filler = 'num_axes: 0 filler {{ type: "constant" value: {} }} bias_term: false'
    rest = "scale: 1 remove_center: true remove_bounds: true"
    guide = _shrunk(crf.guide, 2)
    factors = (("scaled_xy", "xy", 0.05), ("scaled_emb", guide, float(crf.factor)), ("scaled_xy2", "xy", 0.2))
    return [
        layer("Split", "splitting", ["score_big"], ["unary", "q0"]),
        *(layer("Scale", name, [bottom], body=f"scale_param {{ {filler.format(value)} }}")
          for name, bottom, value in factors),
        layer("Concat", "embxy", ["scaled_emb", "scaled_xy"]),
        layer("NormConvMeanfield", "crf", ["unary", "q0", "embxy", "scaled_xy2"], body=f"""
            norm_conv_meanfield_param {{
              num_iterations: {crf.iterations}
              kernel_size: 7 pad: {3 * crf.dilation} dilation: {crf.dilation} {rest}
              kernel_size: 3 pad: 1 dilation: 1 {rest}
            }}
            """),
    ]  # fmt: skip


def solver(net_field: str, path: str, prefix: str, iterations: int, learning_rate: Value = 0.002, seed: int = 1) -> str:
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
random_seed: {seed}
"""


def _in_phase(text: str, phase: str) -> str:
    """Restrict a layer to a phase."""
    head, brace, rest = text.partition("{")
    return f"{head}{brace} include {{ phase: {phase} }}{rest}"


def _positions(half: tuple[Value, Value], batch_size: Value) -> str:
    shape = f"shape {{ dim: {batch_size} dim: 2 dim: {half[0]} dim: {half[1]} }}"
    return layer("DummyData", "xy", body=f'dummy_data_param {{ {shape} data_filler {{ type: "xy" }} }}')


def _to_full_size(model: Model) -> list[str]:
    """From "score" to "scores", by way of half the resolution where a mean field or a cascade works there."""
    if not model.crf and not model.cascade:
        return [zoom("scores", "score", 4)]
    layers, top = [zoom("score_big", "score", 2)], "score_big"
    if model.crf:
        layers += mean_field(model.crf)
        top = "crf"
    if model.cascade:
        layers += cascade(top, _shrunk(EMBEDDED, 2), model.classes, CASCADE_SHARPNESS)
        top = CASCADED
    return [*layers, zoom("scores", top, 2)]
