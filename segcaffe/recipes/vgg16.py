"""The paper's segmentation-aware VGG-16 (section 3.2): every convolution looks through a mask from the embeddings.

The network is DeepLab's LargeFOV. Each 3x3 convolution sums the columns of its input multiplied by a local mask
exp(-|lambda d|), where d are L1 distances between embeddings and lambda, one number per convolution, is learnt.
Sizes must be 8 k + 1, so that each reduced map lies exactly over the image. All functions return prototxt.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.recipes import embs
from segcaffe.recipes.embs import IGNORED, Images
from segcaffe.recipes.layers import (
    Value,
    convolution,
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
    zoom,
)

EMBEDDING = (("emb1_1", 64), ("emb1_2", 64), ("emb2_1", 128), ("emb2_2", 128), ("emb3_1", 256), ("emb3_2", 256),
             ("emb3_3", 256))  # fmt: skip
POOL_AFTER = {"emb1_2": "emb_pool1", "emb2_2": "emb_pool2"}
INITIAL_SHARPNESS = 0.05


@dataclass(frozen=True)
class Block:
    """Convolutions that share one map of distances.

    Attributes
    ----------
    number:
        As in the layers' names: conv3_1 belongs to block 3.
    shrink:
        How much smaller than the image the maps are.
    channels:
        Of the input, then of each convolution's output.
    dilation, pool_stride:
        Of its convolutions; of the pooling behind it.
    """

    number: int
    shrink: int
    channels: tuple[int, ...]
    dilation: int = 1
    pool_stride: int = 2


BLOCKS = (
    Block(1, 1, (3, 64, 64)),
    Block(2, 2, (64, 128, 128)),
    Block(3, 4, (128, 256, 256, 256)),
    Block(4, 8, (256, 512, 512, 512), pool_stride=1),
    Block(5, 8, (512, 512, 512, 512), dilation=2, pool_stride=1),
)


@dataclass(frozen=True)
class Rates:
    """Learning rate multipliers (weights, biases) of the embeddings and of the pretrained convolutions."""

    embeddings: tuple[Value, Value] = (1, 2)
    convolutions: tuple[Value, Value] = (1, 2)


def train(images: Images, classes: Value, dataset: str, rates: Rates) -> str:
    """Write the training net: softmax loss on the scores, at an eighth of the resolution."""
    loss = layer(
        "SoftmaxWithLoss",
        "loss",
        [f"fc8_{dataset}", "label_shrink"],
        body=f"loss_param {{ ignore_label: {IGNORED} }}",
    )
    layers = [
        embs.pairs(images, train=True),
        *scores(images.crop_size, images.crop_size, classes, dataset, rates),
        shrink("label_shrink", "label", 8),
        loss,
    ]
    return net("vgg16", layers, "Segmentation-aware VGG-16: training.\n" + NOTES)


def test(images: Images, classes: Value, dataset: str, prefix: str, ids: str) -> str:
    """Write the test net: scores at the image's resolution, into .mat files."""
    layers = [
        embs.pairs(images, train=False),
        *scores(images.crop_size, images.crop_size, classes, dataset, Rates()),
        zoom("fc8_interp", f"fc8_{dataset}", 8),
        mat_write("fc8_mat", "fc8_interp", prefix, ids),
        layer("Silence", "silence", ["label"], []),
    ]
    return net("vgg16", layers, f"Segmentation-aware VGG-16: scores written to .mat files.\n{TEST_NOTE}\n{NOTES}")


def deploy(height: Value, width: Value, classes: Value, dataset: str) -> str:
    """Write the net from "data" (1, 3, height, width), mean subtracted, to scores "fc8_interp" of the same size."""
    layers = [
        image_input(height, width),
        *scores(height, width, classes, dataset, Rates()),
        zoom("fc8_interp", f"fc8_{dataset}", 8),
    ]
    head = remark("Segmentation-aware VGG-16: scores of one image (BGR, mean subtracted).\n" + NOTES)
    return head + note("class_names", dataset) + net("vgg16", layers)


def train_embeddings(images: Images) -> str:
    """Write the net that trains this network's embeddings alone, before everything is trained together."""
    layers = [embs.pairs(images, train=True), *embedding(images.crop_size, images.crop_size, (1, 2))]
    for number, dilation in enumerate(embs.DILATIONS, start=1):
        layers += embs.distance_loss("" if number == 1 else str(number), dilation, 0.5, 2, embedding="emb")
    head = "Embeddings of the segmentation-aware VGG-16: training before the rest is there."
    return net("vgg16_embs", layers, f"{head}\n{embs.IGNORE_NOTE}")


def solver(
    train_net: str, prefix: str, learning_rate: Value, step: Value, max_iter: Value, snapshot: Value, mode: str = "CPU"
) -> str:
    """Write the solver: SGD, the learning rate divided by ten after each ``step`` iterations."""
    return f"""train_net: "{train_net}"
type: "SGD"
base_lr: {learning_rate}
lr_policy: "step"
gamma: 0.1
stepsize: {step}
momentum: 0.9
weight_decay: 0.0005
max_iter: {max_iter}
display: 10
snapshot: {snapshot}
snapshot_prefix: "{prefix}"
solver_mode: {mode}
"""


def embedding(height: Value, width: Value, rates: tuple[Value, Value]) -> list[str]:
    """From "data" to the embeddings "emb": seven convolutions, three of them resized, stacked with the colours."""
    layers = [layer("Power", "rgb_emb", ["data"], body=f"power_param {{ scale: {embs.RGB_SCALE} }}")]
    bottom = "data"
    for name, num_output in EMBEDDING:
        layers += [_trained(name, bottom, num_output, rates), relu(name, f"relu_{name}")]
        bottom = name
        if name in POOL_AFTER:
            bottom = POOL_AFTER[name]
            layers.append(max_pooling(bottom, name))
    size = f"interp_param {{ height: {height} width: {width} }}"
    for name in ("emb2_2", "emb3_3"):
        layers.append(layer("Interp", f"{name.replace('_', '')}_resized", [name], body=size))
    layers.append(layer("Concat", "fused", ["rgb_emb", "emb1_2", "emb22_resized", "emb33_resized"]))
    return [*layers, _trained("emb", "fused", 64, rates, kernel=1, pad=0)]


def scores(height: Value, width: Value, classes: Value, dataset: str, rates: Rates) -> list[str]:
    """From "data" to the scores "fc8_<dataset>" (N, classes, (height - 1) / 8 + 1, (width - 1) / 8 + 1)."""
    layers = embedding(height, width, rates.embeddings)
    bottom = "data"
    for block in BLOCKS:
        layers += _block(block, bottom, rates.convolutions)
        bottom = f"pool{block.number}"
    average = layer("Pooling", "pool5a", ["pool5"], body="pooling_param { pool: AVE kernel_size: 3 pad: 1 stride: 1 }")
    layers += [average, *_distances("6", "emb_shrink8", 12)]
    layers += masked_convolution("fc6", "pool5a", "6", "6", 512, 1024, 12, (1, 2))
    layers += [relu("fc6", "relu6"), _dropout("fc6", "drop6"), _plain("fc7", "fc6", 1024, (1, 2), "")]
    layers += [relu("fc7", "relu7"), _dropout("fc7", "drop7")]
    new = ' weight_filler { type: "gaussian" std: 0.01 }'
    return [*layers, _plain(f"fc8_{dataset}", "fc7", classes, (10, 20), new)]


def masked_convolution(
    name: str,
    bottom: str,
    distances: str,
    mask: str,
    channels: int,
    num_output: int,
    dilation: int,
    rates: tuple[Value, Value],
) -> list[str]:
    """Write a 3x3 convolution through a mask: Im2col(bottom) x Tile(Exp(-|Scale(distances)|)), then the product.

    The layers run as one where nothing else reads the blobs between them.
    """
    scaled, exponent = f"weighted_emb_dist{mask}", f"exp_emb_dist{mask}"
    tiled, columns = f"{exponent}_{channels}chan", f"im2col_{name}"
    sharpness = f'num_axes: 0 filler {{ type: "constant" value: {INITIAL_SHARPNESS} }} bias_term: false'
    window = f"kernel_size: 3 pad: {dilation}" + (f" dilation: {dilation}" if dilation > 1 else "")
    return [
        layer(
            "Scale",
            scaled,
            [f"emb_dist{distances}"],
            body=f"param {{ lr_mult: 1 decay_mult: 1 }}\nscale_param {{ {sharpness} }}",
        ),
        layer("AbsVal", f"abs_emb_dist{mask}", [scaled]),
        layer("Exp", exponent, [f"abs_emb_dist{mask}"], body="exp_param { scale: -1 }"),
        layer("Tile", tiled, [exponent], body=f"tile_param {{ axis: 1 tiles: {channels} }}"),
        layer("Im2col", columns, [bottom], body=f"convolution_param {{ {window} }}"),
        eltwise(f"{columns}_hit", [columns, tiled], "PROD"),
        layer(
            "Convolution",
            name,
            [f"{columns}_hit"],
            body=f"{_params(rates)}\nconvolution_param {{ num_output: {num_output} {window} bottom_is_im2col: true }}",
        ),
    ]


def _block(block: Block, bottom: str, rates: tuple[Value, Value]) -> list[str]:
    source = "emb" if block.shrink == 1 else f"emb_shrink{block.shrink}"
    layers = [remark(f"Block {block.number}: an image {block.shrink} times smaller" if block.shrink > 1 else "Block 1")]
    if block.shrink > 1 and block.dilation == 1:
        layers.append(shrink(source, "emb", block.shrink))
    layers += _distances(str(block.number), source, block.dilation)
    for index in range(1, len(block.channels)):
        number, name = f"{block.number}_{index}", f"conv{block.number}_{index}"
        channels, num_output = block.channels[index - 1 : index + 1]
        layers += masked_convolution(
            name, bottom, str(block.number), number, channels, num_output, block.dilation, rates
        )
        layers.append(relu(name, f"relu{number}"))
        bottom = name
    return [*layers, max_pooling(f"pool{block.number}", bottom, block.pool_stride)]


def _distances(number: str, source: str, dilation: int) -> list[str]:
    window = f"kernel_size: 3 pad: {dilation}" + (f" dilation: {dilation}" if dilation > 1 else "")
    body = f"convolution_param {{ {window} }} im2dist_param {{ norm: L1 }}"
    return [layer("Im2dist", f"emb_dist{number}", [source], body=body)]


def _trained(name: str, bottom: str, num_output: int, rates: tuple[Value, Value], kernel: int = 3, pad: int = 1) -> str:
    """A convolution of the embeddings, with its own rates."""
    return convolution(name, bottom, num_output, kernel, pad, lr=rates[0], bias_lr=rates[1])


def _plain(name: str, bottom: str, num_output: Value, rates: tuple[Value, Value], filler: str) -> str:
    body = f"{_params(rates)}\nconvolution_param {{ num_output: {num_output} kernel_size: 1{filler} }}"
    return layer("Convolution", name, [bottom], body=body)


def _params(rates: tuple[Value, Value]) -> str:
    return f"param {{ lr_mult: {rates[0]} decay_mult: 1 }}\nparam {{ lr_mult: {rates[1]} decay_mult: 0 }}"


def _dropout(blob: str, name: str) -> str:
    return layer("Dropout", name, [blob], [blob], "dropout_param { dropout_ratio: 0.5 }")


TEST_NOTE = (
    "The original test net has one Scale per block, of other names than the trained ones, so that every mask kept "
    "its initial 0.1. Here each convolution has its own, by the trained name."
)
NOTES = (
    "Convolutions without a weight_filler start at zero: give pretrained weights (--weights). Heights and "
    "widths are a multiple of 8, the stride, plus 1. "
    "In the original, the embeddings' ReLUs share their names with the network's; here they have their own."
)
