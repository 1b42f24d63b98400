"""The embeddings network of the paper (section 3.1): VGG-like features, fused, and losses on local distances.

Each pixel gets a 64-dimensional embedding. Three losses compare it with its neighbours at steps of 1, 2 and 5 pixels:
distances below ``alpha`` are wanted within a label, above ``beta`` across labels. All functions return prototxt.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.recipes.layers import (
    Value,
    convolution,
    image_input,
    layer,
    mat_write,
    max_pooling,
    net,
    relu,
    transformation,
)

RGB_SCALE = 0.0039215
CONVOLUTIONS = (("conv1_1", 64), ("conv1_2", 64), ("conv2_1", 128), ("conv2_2", 128), ("conv3_1", 256))
POOL_AFTER = {"conv1_2": "pool1", "conv2_2": "pool2"}
RESIZED = {"conv2_1": "conv21_resized", "conv2_2": "conv22_resized", "conv3_1": "conv31_resized"}
DILATIONS: tuple[Value, ...] = (1, 2, 5)
IGNORED = 255
"""Label of void pixels and of what an image is padded with."""
IGNORE_NOTE = (
    f"In the original Im2parity has no ignore_label, so that DistLoss' ignore_label: {IGNORED} never acts and void "
    "pixels are learnt as a class of their own. Here both have it: pairs with a void pixel do not count."
)


@dataclass(frozen=True)
class Images:
    """Where a net's images come from: a list file of ``image label`` pairs, relative to ``root`` (ends in "/").

    ``scale`` multiplies the pixels after the mean is subtracted. The paper uses 1; with 1/255 the first embeddings
    are about as far apart as the loss wants them, and training is many times faster.
    """

    source: str
    root: str
    batch_size: Value
    crop_size: Value
    scale: float = 1


def train(images: Images, name: str = "embs", dilations: tuple[Value, ...] = DILATIONS) -> str:
    """Write the training net: shuffled, mirrored crops and one loss per step size."""
    layers = [pairs(images, train=True), *features(images.crop_size, images.crop_size, images.scale)]
    for number, dilation in enumerate(dilations, start=1):
        layers += distance_loss("" if number == 1 else str(number), dilation, alpha=0.5, beta=2)
    head = "Embeddings: training. Distances to neighbours at several steps, against label agreement."
    return net(name, layers, f"{head}\n{IGNORE_NOTE}")


def test(images: Images, prefix: str, ids: str, name: str) -> str:
    """Write the test net: a loss on direct neighbours, and the embeddings written to .mat files.

    Parameters
    ----------
    prefix:
        Prefix of the .mat files: a folder ending in "/".
    ids:
        File with the name of each image, a line each.
    """
    writer = mat_write("emb_mat", "weighted_avg", prefix, ids)
    layers = [pairs(images, train=False), *features(images.crop_size, images.crop_size, images.scale)]
    layers += [*distance_loss("", 1, alpha=5, beta=10), writer]
    return net(name, layers, f"Embeddings: writes them to .mat files.\n{IGNORE_NOTE}")


def deploy(height: Value, width: Value, scale: float = 1, name: str = "embs") -> str:
    """Write the net from an image blob "data" (1, 3, height, width), mean subtracted and scaled, to "weighted_avg"."""
    data = image_input(height, width, scale)
    return net(name, [data, *features(height, width, scale)], "Embeddings of one image (BGR, mean subtracted).")


def solver(
    train_net: str,
    prefix: str,
    learning_rate: Value,
    max_iter: Value,
    snapshot: Value,
    seed: int = -1,
    policy: str = 'lr_policy: "fixed"',
) -> str:
    """Write the solver: Adam, with the momentum that the original's solver left out.

    ``policy`` is the learning rate's policy with its options; the paper's is fixed.
    """
    return f"""train_net: "{train_net}"
type: "Adam"
base_lr: {learning_rate}
{policy}
momentum: 0.9
momentum2: 0.999
max_iter: {max_iter}
display: 10
snapshot: {snapshot}
snapshot_prefix: "{prefix}"
random_seed: {seed}
"""


def features(height: Value, width: Value, scale: float = 1) -> list[str]:
    """From "data" to the embeddings "weighted_avg": features of five convolutions, resized, stacked, mixed."""
    layers = [layer("Power", "rgb_emb", ["data"], body=f"power_param {{ scale: {RGB_SCALE / scale:.7g} }}")]
    bottom = "data"
    for name, num_output in CONVOLUTIONS:
        layers += [convolution(name, bottom, num_output), relu(name, f"relu{name[4:]}")]
        bottom = name
        if name in POOL_AFTER:
            bottom = POOL_AFTER[name]
            layers.append(max_pooling(bottom, name))
    size = f"interp_param {{ height: {height} width: {width} }}"
    layers += [layer("Interp", name, [source], body=size) for source, name in RESIZED.items()]
    layers.append(layer("Concat", "fused", ["rgb_emb", "conv1_1", "conv1_2", *RESIZED.values()]))
    return [*layers, convolution("weighted_avg", "fused", 64, kernel=1, pad=0)]


def distance_loss(
    suffix: str, dilation: Value, alpha: float, beta: float, embedding: str = "weighted_avg"
) -> list[str]:
    """Write distances and label agreement over a 3x3 window, and the contrastive loss between them.

    Pairs of pixels of which one has the label `IGNORED` do not count.
    """
    window = f"convolution_param {{ kernel_size: 3 pad: {dilation} dilation: {dilation} stride: 1 }}"
    parity, distance = f"parity{suffix}", f"{embedding}_dist{suffix}"
    loss = f"dist_loss_param {{ alpha: {alpha} beta: {beta} ignore_label: {IGNORED} }}"
    return [
        layer("Im2parity", parity, ["label"], body=f"{window}\nim2parity_param {{ ignore_label: {IGNORED} }}"),
        layer("Im2dist", distance, [embedding], body=f"{window}\nim2dist_param {{ norm: L1 }}"),
        layer("DistLoss", f"loss_avg{suffix}", [distance, parity], body=f"{window}\n{loss}"),
    ]


def pairs(images: Images, train: bool) -> str:
    """Write the data layer: "data" and "label", shuffled and mirrored for training."""
    flag = "true" if train else "false"
    return layer(
        "TwoImageData",
        "data",
        tops=["data", "label"],
        body=f"""
        image_data_param {{
          root_folder: "{images.root}"
          source: "{images.source}"
          batch_size: {images.batch_size}
          shuffle: {flag}
        }}
        two_image_data_param {{ first_is_color: true second_is_color: false }}
        transform_param {{ {transformation(images.scale)} crop_size: {images.crop_size} mirror: {flag} }}
        """,
    )
