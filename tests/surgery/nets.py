"""Well-known nets in small: their layers, windows and connections, with fewer channels and units."""

from __future__ import annotations

from segcaffe.recipes.layers import convolution, image_input, layer, max_pooling, relu
from tests.conftest import ROOT

FILLED = 'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 0.1 }'


def lenet() -> str:
    return (ROOT / "configs" / "tiny" / "lenet_deploy.prototxt").read_text()


def plain() -> str:
    return (ROOT / "configs" / "tiny" / "plain_deploy.prototxt").read_text()


def vgg16() -> str:
    """DeepLab's LargeFOV: blocks of 3x3 convolutions, the last two without shrinking, dilated; fc6 by 12 pixels."""
    layers, bottom = [image_input(41, 49)], "data"
    for block, (count, channels, dilation, stride) in enumerate(
        ((2, 8, 1, 2), (2, 12, 1, 2), (3, 16, 1, 2), (3, 24, 1, 1), (3, 24, 2, 1)), 1
    ):
        for number in range(1, count + 1):
            name = f"conv{block}_{number}"
            layers += [
                convolution(name, bottom, channels, pad=dilation, dilation=dilation),
                relu(name, f"relu{name[4:]}"),
            ]
            bottom = name
        layers.append(max_pooling(f"pool{block}", bottom, stride))
        bottom = f"pool{block}"
    layers += [
        layer("Pooling", "pool5a", [bottom], body="pooling_param { pool: AVE kernel_size: 3 pad: 1 stride: 1 }"),
        convolution("fc6", "pool5a", 32, pad=12, dilation=12),
        relu("fc6", "relu6"),
        layer("Dropout", "drop6", ["fc6"], ["fc6"]),
        convolution("fc7", "fc6", 32, kernel=1, pad=0),
        relu("fc7", "relu7"),
        convolution("fc8_voc12", "fc7", 5, kernel=1, pad=0),
        layer("Interp", "fc8_interp", ["fc8_voc12"], body="interp_param { zoom_factor: 8 }"),
    ]
    return 'name: "vgg16"\n' + "".join(layers)


def resnet50() -> str:
    """Bottlenecks of stored normalisation, stride 2 in the first unit of a stage, a sum with a shortcut; 7x7 first."""
    layers = [image_input(45, 45), *_normalised("conv1", "data", 8, 7, 2), relu("conv1", "conv1_relu")]
    layers.append(layer("Pooling", "pool1", ["conv1"], body="pooling_param { pool: MAX kernel_size: 3 stride: 2 }"))
    bottom = "pool1"
    for stage, units, channels in ((2, "abc", 4), (3, "abcd", 6), (4, "abcdef", 8), (5, "abc", 8)):
        for unit in units:
            name, stride = f"res{stage}{unit}", 2 if unit == "a" and stage > 2 else 1
            shortcut = bottom
            if unit == "a":
                shortcut = f"{name}_branch1"
                layers += _normalised(shortcut, bottom, 4 * channels, 1, stride)
            inner = bottom
            for letter, outputs, kernel in (("a", channels, 1), ("b", channels, 3), ("c", 4 * channels, 1)):
                branch = f"{name}_branch2{letter}"
                layers += _normalised(branch, inner, outputs, kernel, stride if letter == "a" else 1)
                layers += [relu(branch, f"{branch}_relu")] if letter != "c" else []
                inner = branch
            layers += [layer("Eltwise", name, [shortcut, inner]), relu(name, f"{name}_relu")]
            bottom = name
    layers.append(layer("Pooling", "pool5", [bottom], body="pooling_param { pool: AVE global_pooling: true }"))
    body = f"inner_product_param {{ num_output: 10 {FILLED} }}"
    return "".join([*layers, layer("InnerProduct", "fc10", ["pool5"], body=body), layer("Softmax", "prob", ["fc10"])])


def fcn() -> str:
    """FCN-16s: pad 100, a head of a large window, scores of two depths, deconvolutions and crops."""
    layers, bottom = [image_input(33, 39)], "data"
    for block, channels in enumerate((6, 8, 8), 1):
        name = f"conv{block}_1"
        layers.append(convolution(name, bottom, channels, pad=100 if block == 1 else 1))
        layers.append(relu(name, f"relu{block}_1"))
        layers.append(layer("Pooling", f"pool{block}", [name], body="pooling_param { kernel_size: 2 stride: 2 }"))
        bottom = f"pool{block}"
    deconvolution = 'convolution_param {{ num_output: 4 bias_term: false kernel_size: {} stride: {} weight_filler {{ type: "bilinear" }} }}'  # noqa: E501
    layers += [
        convolution("fc6", "pool3", 16, kernel=7, pad=0),
        relu("fc6", "relu6"),
        layer("Dropout", "drop6", ["fc6"], ["fc6"]),
        convolution("score_fr", "fc6", 4, kernel=1, pad=0),
        layer("Deconvolution", "upscore2", ["score_fr"], body=deconvolution.format(4, 2)),
        convolution("score_pool2", "pool2", 4, kernel=1, pad=0),
        layer("Crop", "score_pool2c", ["score_pool2", "upscore2"], body="crop_param { axis: 2 offset: 5 }"),
        layer("Eltwise", "fuse_pool2", ["upscore2", "score_pool2c"]),
        layer("Deconvolution", "upscore4", ["fuse_pool2"], body=deconvolution.format(8, 4)),
        layer("Crop", "score", ["upscore4", "data"], body="crop_param { axis: 2 offset: 19 }"),
    ]
    return "".join(layers)


def _normalised(name: str, bottom: str, outputs: int, kernel: int, stride: int) -> list[str]:
    window = f"kernel_size: {kernel} pad: {kernel // 2} stride: {stride}"
    options = f"convolution_param {{ num_output: {outputs} {window} bias_term: false {FILLED.split(' bias')[0]} }}"
    return [
        layer("Convolution", name, [bottom], body=options),
        layer("BatchNorm", f"bn_{name}", [name], [name]),
        layer("Scale", f"scale_{name}", [name], [name], "scale_param { bias_term: true }"),
    ]


NETS = {"vgg16": vgg16, "resnet50": resnet50, "lenet": lenet, "fcn": fcn, "plain": plain}
