"""The paper's ResNet-101 with a CRF on embeddings (section 4): three resolutions, one set of weights.

The network is DeepLab v2's: the image, three quarters and one half of it run through a dilated ResNet-101 whose
weights are shared by parameter names; four dilated classifiers per resolution are added up, and of the resolutions
the largest score is taken. A mean-field CRF then compares each pixel with neighbours up to 54 pixels away, by embedding
and position. Sizes must be 32 k + 1. All functions return prototxt.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.recipes.cascade import CASCADED, cascade
from segcaffe.recipes.embs import IGNORED, Images
from segcaffe.recipes.layers import (
    Value,
    eltwise,
    image_input,
    layer,
    mat_write,
    max_pooling,
    net,
    note,
    relu,
    remark,
    shrink,
    transformation,
    zoom,
)
from segcaffe.recipes.vgg16 import embedding

STAGES = ((2, "abc", 64, 1, 1), (3, ("a", "b1", "b2", "b3"), 128, 2, 1),
          (4, ("a", *(f"b{i}" for i in range(1, 23))), 256, 1, 2), (5, "abc", 512, 1, 4))  # fmt: skip
"""Number, units, channels inside, stride of the first unit, dilation."""
CLASSIFIER_DILATIONS = (6, 12, 18, 24)
SCALES = (0.5, 0.75, 1, 1.25, 1.5)
HALF, THREE_QUARTERS = "_res05", "_res075"


@dataclass(frozen=True)
class Rates:
    """Learning rate multipliers.

    Attributes
    ----------
    embeddings, classifiers:
        Weights, biases.
    trunk:
        Weights of the ResNet; its normalisation is fixed.
    crf_scales, crf_weights:
        Of the factors on embeddings and positions; of the CRF's three matrices.
    """

    embeddings: tuple[Value, Value] = (1, 2)
    trunk: Value = 1
    classifiers: tuple[Value, Value] = (1, 2)
    crf_scales: Value = 1
    crf_weights: Value = 1


@dataclass(frozen=True)
class Size:
    """Height and width of the image, and of the half resolution that the CRF works at: (height - 1) / 2 + 1, ..."""

    height: Value
    width: Value
    half_height: Value
    half_width: Value

    @classmethod
    def square(cls, side: Value, half: Value) -> Size:
        """Return the size of a square crop."""
        return cls(side, side, half, half)


def train(images: Images, half: Value, classes: Value, dataset: str, rates: Rates) -> str:
    """Write the training net: losses on the CRF, the merged scores, and each resolution's."""
    size = Size.square(images.crop_size, half)
    layers = [
        _data(images, train=True),
        *scores(size, images.batch_size, classes, dataset, rates),
        remark("Losses"),
        shrink("label_shrink2", "label", 2),
        *_supervised("crf", "label_shrink2", "loss", "crf_accuracy"),
        shrink("label_shrink", "label", 8),
        *_supervised("fc_fusion", "label_shrink", "loss_fusion", "accuracy"),
        *_supervised(f"fc1_{dataset}", "label_shrink", "loss_res1", "accuracy_res1"),
        *_supervised(f"fc1_{dataset}_res075_interp", "label_shrink", "loss_res075", "accuracy_res075"),
        shrink("label_shrink16", "label", 16),
        *_supervised(f"fc1_{dataset}_res05", "label_shrink16", "loss_res05", "accuracy_res05"),
    ]
    return net("resnet", layers, f"ResNet-101 at three resolutions with a CRF on embeddings: training.\n{TRAIN_NOTE}")


def test(images: Images, half: Value, classes: Value, dataset: str, prefix: str, ids: str) -> str:
    """Write the test net: scores after the CRF, sharpened twice by the embeddings, into .mat files."""
    size = Size.square(images.crop_size, half)
    layers = [
        _data(images, train=False),
        *scores(size, images.batch_size, classes, dataset, Rates()),
        *cascade("crf", "emb2", classes),
        zoom("crf_interp", CASCADED, 2),
        mat_write("crf_mat", "crf_interp", prefix, ids),
        layer("Silence", "silence", ["label", "data_dim"], []),
    ]
    return net("resnet", layers, f"ResNet-101 with a CRF on embeddings: scores written to .mat files.\n{TEST_NOTE}")


def deploy(size: Size, classes: Value, dataset: str) -> str:
    """Write the net from "data" (1, 3, height, width), mean subtracted, to scores "crf_interp" of the same size.

    As in the test net the scores after the CRF are sharpened twice by the embeddings.
    """
    layers = [
        image_input(size.height, size.width),
        *scores(size, 1, classes, dataset, Rates()),
        *cascade("crf", "emb2", classes),
        zoom("crf_interp", CASCADED, 2),
    ]
    head = remark(f"ResNet-101 with a CRF on embeddings: scores of one image.\n{DEPLOY_NOTE}")
    return head + note("class_names", dataset) + net("resnet", layers)


def solver(train_net: str, prefix: str, learning_rate: Value, iter_size: Value, max_iter: Value, snapshot: Value,
           mode: str = "GPU") -> str:  # fmt: skip
    """Write the solver: SGD, the learning rate falling to zero, gradients of ``iter_size`` batches added up."""
    return f"""train_net: "{train_net}"
type: "SGD"
base_lr: {learning_rate}
lr_policy: "poly"
power: 0.9
iter_size: {iter_size}
momentum: 0.9
weight_decay: 0.0005
max_iter: {max_iter}
average_loss: 10
display: 10
snapshot: {snapshot}
snapshot_prefix: "{prefix}"
solver_mode: {mode}
"""


def scores(size: Size, batch_size: Value, classes: Value, dataset: str, rates: Rates) -> list[str]:
    """From "data" to the scores "crf" (N, classes, half_height, half_width)."""
    three_quarters = "interp_param { shrink_factor: 4 zoom_factor: 3 }"
    fc = f"fc1_{dataset}"
    layers = [
        shrink("data_res05", "data", 2),
        layer("Interp", "data_res075", ["data"], body=three_quarters),
        *embedding(size.height, size.width, rates.embeddings),
    ]
    for suffix in ("", HALF, THREE_QUARTERS):
        layers += trunk(f"data{suffix}", suffix, rates.trunk)
    for suffix in ("", HALF, THREE_QUARTERS):
        layers += _classifiers(fc, suffix, classes, rates.classifiers)
    back = "interp_param { zoom_factor: 4 shrink_factor: 3 }"
    layers += [
        zoom(f"{fc}_res05_interp", f"{fc}_res05", 2),
        layer("Interp", f"{fc}_res075_interp", [f"{fc}_res075"], body=back),
        eltwise("fc_fusion", [fc, f"{fc}_res075_interp", f"{fc}_res05_interp"], "MAX"),
    ]
    return [*layers, *_crf(size, batch_size, rates)]


def trunk(data: str, suffix: str, rate: Value) -> list[str]:
    """From an image to "res5c<suffix>", an eighth of its size; weights are shared by all suffixes."""
    layers = [remark(f"ResNet-101 on {data}"), *_normalised("conv1", "_conv1", data, suffix, 64, 7, 2, 1, rate)]
    layers += [relu(f"conv1{suffix}", f"conv1_relu{suffix}"), max_pooling(f"pool1{suffix}", f"conv1{suffix}")]
    bottom = f"pool1{suffix}"
    for number, units, channels, stride, dilation in STAGES:
        for unit in units:
            layers += _unit(f"{number}{unit}", bottom, suffix, channels, stride if unit == "a" else 1, dilation, rate)
            bottom = f"res{number}{unit}{suffix}"
    return layers


def _unit(unit: str, bottom: str, suffix: str, channels: int, stride: int, dilation: int, rate: Value) -> list[str]:
    """A bottleneck: 1x1, 3x3 (dilated), 1x1; the first of a stage has a convolution on its shortcut, too."""
    layers, shortcut = [], bottom
    if unit.endswith("a"):
        name = f"res{unit}_branch1"
        layers += _normalised(name, f"{unit}_branch1", bottom, suffix, 4 * channels, 1, stride, 1, rate)
        shortcut = f"{name}{suffix}"
    kinds = (("a", channels, 1, stride, 1), ("b", channels, 3, 1, dilation), ("c", 4 * channels, 1, 1, 1))
    for letter, num_output, kernel, step, spread in kinds:
        branch = f"{unit}_branch2{letter}"
        name = f"res{branch}"
        layers += _normalised(name, branch, bottom, suffix, num_output, kernel, step, spread, rate)
        bottom = f"{name}{suffix}"
        if letter != "c":
            layers.append(relu(bottom, f"{name}_relu{suffix}"))
    total = f"res{unit}{suffix}"
    return [*layers, layer("Eltwise", total, [shortcut, bottom]), relu(total, f"res{unit}_relu{suffix}")]


def _normalised(
    name: str,
    branch: str,
    bottom: str,
    suffix: str,
    num_output: int,
    kernel: int,
    stride: int,
    dilation: int,
    rate: Value,
) -> list[str]:
    """A convolution, its normalisation by fixed statistics, its scale and bias; "bn" + branch, "scale" + branch."""
    top = f"{name}{suffix}"
    window = f"kernel_size: {kernel} pad: {dilation * (kernel // 2)} stride: {stride}"
    window += f" dilation: {dilation}" if dilation > 1 else ""
    weight = f'param {{ name: "{name}_0" lr_mult: {rate} decay_mult: 1 }}'
    options = f"convolution_param {{ num_output: {num_output} {window} bias_term: false }}"
    return [
        layer("Convolution", top, [bottom], body=f"{weight}\n{options}"),
        layer(
            "BatchNorm",
            f"bn{branch}{suffix}",
            [top],
            [top],
            f"{_fixed(f'bn{branch}', 3)}\nbatch_norm_param {{ use_global_stats: true }}",
        ),
        layer(
            "Scale", f"scale{branch}{suffix}", [top], [top],
            f"{_fixed(f'scale{branch}', 2)}\nscale_param {{ bias_term: true }}",
        ),
    ]  # fmt: skip


def _fixed(name: str, count: int) -> str:
    return "\n".join(f'param {{ name: "{name}_{index}" lr_mult: 0 }}' for index in range(count))


def _classifiers(fc: str, suffix: str, classes: Value, rates: tuple[Value, Value]) -> list[str]:
    names = [f"{fc}{suffix}_c{index}" for index in range(len(CLASSIFIER_DILATIONS))]
    layers = []
    for index, (name, dilation) in enumerate(zip(names, CLASSIFIER_DILATIONS, strict=True)):
        body = f"""
        param {{ name: "{fc}_c{index}_w" lr_mult: {rates[0]} }}
        param {{ name: "{fc}_c{index}_b" lr_mult: {rates[1]} }}
        convolution_param {{ num_output: {classes} kernel_size: 3 pad: {dilation} dilation: {dilation} }}
        """
        layers.append(layer("Convolution", name, [f"res5c{suffix}"], body=body))
    return [*layers, eltwise(f"{fc}{suffix}", names, "SUM")]


def _crf(size: Size, batch_size: Value, rates: Rates) -> list[str]:
    shape = f"shape {{ dim: {batch_size} dim: 2 dim: {size.half_height} dim: {size.half_width} }}"
    scales = [("scaled_xy", "xy", 0.05), ("scaled_emb", "emb2", 200), ("scaled_xy2", "xy", 0.05)]
    return [
        remark("CRF at half the resolution"),
        layer("DummyData", "xy", body=f'dummy_data_param {{ {shape} data_filler {{ type: "xy" }} }}'),
        zoom("fc_fusion_big", "fc_fusion", 4),
        shrink("emb2", "emb", 2),
        layer("Split", "splitting", ["fc_fusion_big"], ["unary", "Q0"]),
        *(_factor(name, bottom, value, rates.crf_scales) for name, bottom, value in scales),
        layer("Concat", "embxy", ["scaled_emb", "scaled_xy"]),
        layer("NormConvMeanfield", "crf", ["unary", "Q0", "embxy", "scaled_xy2"], body=_meanfield(rates.crf_weights)),
    ]


def _factor(name: str, bottom: str, value: float, rate: Value) -> str:
    filler = f'num_axes: 0 filler {{ type: "constant" value: {value} }} bias_term: false'
    return layer("Scale", name, [bottom], body=f"param {{ lr_mult: {rate} decay_mult: 1 }}\nscale_param {{ {filler} }}")


def _meanfield(rate: Value) -> str:
    """Options of the mean field; the window on embeddings and positions first, then the one on positions alone."""
    params = "\n".join([f"param {{ lr_mult: {rate} }}"] * 3)
    return f"""{params}
norm_conv_meanfield_param {{
  num_iterations: 2
  kernel_size: 13 pad: 54 dilation: 9 scale: 1 remove_center: true remove_bounds: true
  kernel_size: 5 pad: 2 dilation: 1 scale: 1 remove_center: true remove_bounds: true
}}"""


def _supervised(scores_blob: str, label: str, loss: str, accuracy: str) -> list[str]:
    ignore = f"ignore_label: {IGNORED}"
    return [
        layer("SoftmaxWithLoss", loss, [scores_blob, label], body=f"loss_param {{ {ignore} }}"),
        layer("SegAccuracy", accuracy, [scores_blob, label], body=f"seg_accuracy_param {{ {ignore} }}"),
    ]


def _data(images: Images, train: bool) -> str:
    scales = "\n  " + " ".join(f"scale_factors: {value}" for value in SCALES) if train else ""
    return layer(
        "ImageSegData",
        "data",
        tops=["data", "label"] if train else ["data", "label", "data_dim"],
        body=f"""image_data_param {{
  root_folder: "{images.root}"
  source: "{images.source}"
  batch_size: {images.batch_size} shuffle: {str(train).lower()} label_type: {"PIXEL" if train else "NONE"}
}}
transform_param {{
  {transformation()} crop_size: {images.crop_size} mirror: {str(train).lower()}{scales}
}}""",
    )


SIZE_NOTE = (
    "Heights and widths are a multiple of 32 plus 1 (513), HALF ones half of that multiple plus 1 (257). Weights come "
    "from a file (--weights): most start at zero."
)
TRAIN_NOTE = (
    "The embeddings come from their own training (configs/vgg16/train_embs.prototxt), by name. The original has two "
    f'losses called "loss"; here the one on the merged scores is "loss_fusion".\n{SIZE_NOTE}'
)
TEST_NOTE = (
    "The original's factor of the sharpening, halfsize_dist_sc, has a learning rate but is not in the training net; "
    f"here it is fixed, as it was in effect. It silences the same blobs twice; here once.\n{SIZE_NOTE}"
)
DEPLOY_NOTE = (
    "The original takes the smaller images and one resolution's scores as inputs, and its CRF compares colours; the "
    "scores of its test net are averaged twice more over 9x9 windows, by likeness of the embeddings. This is the test "
    f"net, with one input.\n{SIZE_NOTE}"
)
