"""The embeddings network of the paper (section 3.1): VGG-like features, fused, and losses on local distances.

Each pixel gets a 64-dimensional embedding. Three losses compare it with its neighbours at steps of 1, 2 and 5 pixels:
distances below ``alpha`` are wanted within a label, above ``beta`` across labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

MEAN_BGR = (104.008, 116.669, 122.675)
CONVOLUTIONS = (("conv1_1", 64), ("conv1_2", 64), ("conv2_1", 128), ("conv2_2", 128), ("conv3_1", 256))
POOL_AFTER = {"conv1_2": "pool1", "conv2_2": "pool2"}
RESIZED = {"conv2_1": "conv21_resized", "conv2_2": "conv22_resized", "conv3_1": "conv31_resized"}
DILATIONS = (1, 2, 5)


@dataclass(frozen=True)
class Images:
    """Where a net's images come from: a list file of ``image label`` pairs, relative to ``root`` (ends in "/")."""

    source: str
    root: str
    batch_size: int
    crop_size: int


def train_net(images: Images, name: str = "embs", dilations: tuple[int, ...] = DILATIONS) -> caffe_pb2.NetParameter:
    """Build the training net: shuffled, mirrored crops and one loss per step size."""
    net = _trunk(name, images, train=True)
    for number, dilation in enumerate(dilations, start=1):
        suffix = "" if number == 1 else str(number)
        _add_distance_loss(net, suffix, dilation, alpha=0.5, beta=2)
    return net


def test_net(images: Images, features: str, ids: str, name: str) -> caffe_pb2.NetParameter:
    """Build the test net: a loss on direct neighbours, and the embeddings written to .mat files.

    Parameters
    ----------
    features:
        Prefix of the .mat files: a folder ending in "/".
    ids:
        File with the name of each image, a line each.
    """
    net = _trunk(name, images, train=False)
    _add_distance_loss(net, "", 1, alpha=5, beta=10)
    _add(
        net,
        f'''name: "emb_mat" type: "MatWrite" bottom: "weighted_avg"
        mat_write_param {{ prefix: "{features}" source: "{ids}" strip: 0 period: 1 }}''',
    )
    return net


def deploy_net(height: int, width: int, name: str = "embs") -> caffe_pb2.NetParameter:
    """Build the net from an image blob "data" (1, 3, height, width), mean subtracted, to "weighted_avg"."""
    net = caffe_pb2.NetParameter(name=name)
    _add(
        net,
        f"""name: "data" type: "Input" top: "data"
        input_param {{ shape {{ dim: 1 dim: 3 dim: {height} dim: {width} }} }}""",
    )
    _add_features(net, height, width)
    return net


def _trunk(name: str, images: Images, train: bool) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name=name)
    means = " ".join(f"mean_value: {value}" for value in MEAN_BGR)
    flag = "true" if train else "false"
    _add(
        net,
        f'''name: "data" type: "TwoImageData" top: "data" top: "label"
        image_data_param {{
          root_folder: "{images.root}" source: "{images.source}" batch_size: {images.batch_size} shuffle: {flag}
        }}
        two_image_data_param {{ first_is_color: true second_is_color: false }}
        transform_param {{ {means} crop_size: {images.crop_size} mirror: {flag} }}''',
    )
    _add_features(net, images.crop_size, images.crop_size)
    return net


def _add_features(net: caffe_pb2.NetParameter, height: int, width: int) -> None:
    """From "data" to the embeddings "weighted_avg": features of five convolutions, resized, stacked, mixed."""
    _add(net, 'name: "rgb_emb" type: "Power" bottom: "data" top: "rgb_emb" power_param { scale: 0.0039215 }')
    bottom = "data"
    for name, num_output in CONVOLUTIONS:
        _add_convolution(net, name, bottom, num_output, kernel=3, pad=1)
        _add(net, f'name: "relu{name[4:]}" type: "ReLU" bottom: "{name}" top: "{name}"')
        bottom = name
        if name in POOL_AFTER:
            bottom = POOL_AFTER[name]
            _add(
                net,
                f'''name: "{bottom}" type: "Pooling" bottom: "{name}" top: "{bottom}"
                pooling_param {{ pool: MAX kernel_size: 3 pad: 1 stride: 2 }}''',
            )
    for source, name in RESIZED.items():
        _add(
            net,
            f'''name: "{name}" type: "Interp" bottom: "{source}" top: "{name}"
            interp_param {{ height: {height} width: {width} }}''',
        )
    parts = ["rgb_emb", "conv1_1", "conv1_2", *RESIZED.values()]
    bottoms = " ".join(f'bottom: "{part}"' for part in parts)
    _add(net, f'name: "fused" type: "Concat" {bottoms} top: "fused"')
    _add_convolution(net, "weighted_avg", "fused", 64, kernel=1, pad=0)


def _add_convolution(
    net: caffe_pb2.NetParameter, name: str, bottom: str, num_output: int, kernel: int, pad: int
) -> None:
    _add(
        net,
        f'''name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
        param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
        convolution_param {{
          num_output: {num_output} kernel_size: {kernel} pad: {pad}
          weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }}
        }}''',
    )


def _add_distance_loss(net: caffe_pb2.NetParameter, suffix: str, dilation: int, alpha: float, beta: float) -> None:
    """Distances and label agreement over a 3x3 window, and the contrastive loss between them."""
    window = f"convolution_param {{ kernel_size: 3 pad: {dilation} dilation: {dilation} stride: 1 }}"
    _add(net, f'name: "parity{suffix}" type: "Im2parity" bottom: "label" top: "parity{suffix}" {window}')
    dist = f"weighted_avg_dist{suffix}"
    _add(
        net,
        f'name: "{dist}" type: "Im2dist" bottom: "weighted_avg" top: "{dist}" {window} im2dist_param {{ norm: L1 }}',
    )
    _add(
        net,
        f'''name: "loss_avg{suffix}" type: "DistLoss" bottom: "{dist}" bottom: "parity{suffix}"
        top: "loss_avg{suffix}" {window}
        dist_loss_param {{ alpha: {alpha} beta: {beta} ignore_label: 255 }}''',
    )


def _add(net: caffe_pb2.NetParameter, text: str) -> None:
    parse(text, net.layer.add(), filename="recipe embs")
