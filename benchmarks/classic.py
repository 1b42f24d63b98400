"""Deploy files of classic nets, written from their papers: text prototxt by functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from segcaffe.recipes.layers import layer, net

CLASSES = 1000


@dataclass
class Writer:
    """A net in the making; each method adds layers behind a blob and returns the blob that they make."""

    layers: list[str] = field(default_factory=list)

    def add(self, type_name: str, name: str, *bottoms: str, body: str = "", in_place: bool = False) -> str:
        """Add a layer with one top, which bears its name."""
        top = bottoms[0] if in_place else name
        self.layers.append(layer(type_name, name, bottoms, [top], body))
        return top

    def input(self, *shape: int) -> str:
        """The net's image."""
        dims = " ".join(f"dim: {extent}" for extent in shape)
        return self.add("Input", "data", body=f"input_param {{ shape {{ {dims} }} }}")

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, *, relu: bool = True, **options: int) -> str:
        """A convolution, with a rectifier behind it."""
        told = " ".join(f"{key}: {value}" for key, value in options.items())
        body = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {told} }}"
        top = self.add("Convolution", name, bottom, body=body)
        return self.relu(top) if relu else top

    def normed(self, name: str, bottom: str, outputs: int, kernel: int, *, relu: bool = True, **options: int) -> str:
        """A convolution without a bias, BatchNorm and Scale, with a rectifier behind them."""
        told = " ".join(f"{key}: {value}" for key, value in options.items())
        body = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} bias_term: false {told} }}"
        top = self.add("Convolution", name, bottom, body=body)
        self.add("BatchNorm", f"{name}/bn", top, in_place=True)
        self.add("Scale", f"{name}/scale", top, body="scale_param { bias_term: true }", in_place=True)
        return self.relu(top) if relu else top

    def relu(self, bottom: str) -> str:
        """A rectifier, in place."""
        return self.add("ReLU", f"{bottom}/relu", bottom, in_place=True)

    def pool(self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0, kind: str = "MAX") -> str:
        """Pooling by windows."""
        body = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        return self.add("Pooling", name, bottom, body=body)

    def average(self, name: str, bottom: str) -> str:
        """The mean of each map."""
        return self.add("Pooling", name, bottom, body="pooling_param { pool: AVE global_pooling: true }")

    def full(self, name: str, bottom: str, outputs: int, *, relu: bool = False, dropout: bool = False) -> str:
        """An inner product, with a rectifier and dropout behind it."""
        top = self.add("InnerProduct", name, bottom, body=f"inner_product_param {{ num_output: {outputs} }}")
        if relu:
            self.relu(top)
        if dropout:
            self.add("Dropout", f"{name}/drop", top, in_place=True)
        return top

    def norm(self, name: str, bottom: str) -> str:
        """Local response normalisation, as AlexNet has it."""
        return self.add("LRN", name, bottom, body="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def text(self, name: str, scores: str) -> str:
        """The net, ended with probabilities."""
        self.add("Softmax", "prob", scores)
        return net(name, self.layers)


def lenet() -> str:
    """LeNet as Caffe's example has it.   [LeCun et al. 1998]."""
    w = Writer()
    x = w.pool("pool1", w.conv("conv1", w.input(1, 1, 28, 28), 20, 5, relu=False), 2, 2)
    x = w.pool("pool2", w.conv("conv2", x, 50, 5, relu=False), 2, 2)
    return w.text("lenet", w.full("ip2", w.full("ip1", x, 500, relu=True), 10))


def alexnet() -> str:
    """AlexNet in Caffe's order, pooling before normalisation (CaffeNet).   [Krizhevsky et al. 2012]."""
    w = Writer()
    x = w.norm("norm1", w.pool("pool1", w.conv("conv1", w.input(1, 3, 227, 227), 96, 11, stride=4), 3, 2))
    x = w.norm("norm2", w.pool("pool2", w.conv("conv2", x, 256, 5, pad=2, group=2), 3, 2))
    x = w.conv("conv4", w.conv("conv3", x, 384, 3, pad=1), 384, 3, pad=1, group=2)
    x = w.pool("pool5", w.conv("conv5", x, 256, 3, pad=1, group=2), 3, 2)
    for name in ("fc6", "fc7"):
        x = w.full(name, x, 4096, relu=True, dropout=True)
    return w.text("alexnet", w.full("fc8", x, CLASSES))


_INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Outputs of 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; projection behind pooling."""


def googlenet() -> str:
    """GoogLeNet.   [Szegedy et al. 2015, table 1]."""
    w = Writer()
    x = w.norm("norm1", w.pool("pool1", w.conv("conv1", w.input(1, 3, 224, 224), 64, 7, pad=3, stride=2), 3, 2))
    x = w.conv("conv2", w.conv("conv2_reduce", x, 64, 1), 192, 3, pad=1)
    x = w.pool("pool2", w.norm("norm2", x), 3, 2)
    for name, (one, reduce3, three, reduce5, five, project) in _INCEPTION.items():
        at = f"inception_{name}"
        x = w.add(
            "Concat",
            f"{at}/output",
            w.conv(f"{at}/1x1", x, one, 1),
            w.conv(f"{at}/3x3", w.conv(f"{at}/3x3_reduce", x, reduce3, 1), three, 3, pad=1),
            w.conv(f"{at}/5x5", w.conv(f"{at}/5x5_reduce", x, reduce5, 1), five, 5, pad=2),
            w.conv(f"{at}/project", w.pool(f"{at}/pool", x, 3, 1, 1), project, 1),
        )
        if name in ("3b", "4e"):
            x = w.pool(f"pool{name[0]}", x, 3, 2)
    x = w.pool("pool5", x, 7, 1, kind="AVE")
    w.add("Dropout", "drop", x, in_place=True)
    return w.text("googlenet", w.full("classifier", x, CLASSES))


def resnet50() -> str:
    """ResNet-50 as its authors' Caffe file has it, strides in the 1x1 convolutions.   [He et al. 2016]."""
    w = Writer()
    x = w.pool("pool1", w.normed("conv1", w.input(1, 3, 224, 224), 64, 7, pad=3, stride=2), 3, 2)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            at, stride = f"res{stage}{'abcdef'[block]}", 2 if block == 0 and stage > 2 else 1
            side = x if block else w.normed(f"{at}_branch1", x, 4 * width, 1, stride=stride, relu=False)
            y = w.normed(f"{at}_branch2a", x, width, 1, stride=stride)
            y = w.normed(f"{at}_branch2b", y, width, 3, pad=1)
            x = w.relu(w.add("Eltwise", at, side, w.normed(f"{at}_branch2c", y, 4 * width, 1, relu=False)))
    return w.text("resnet50", w.full("fc1000", w.average("pool5", x), CLASSES))


def squeezenet() -> str:
    """SqueezeNet 1.1.   [Iandola et al. 2016]."""
    w = Writer()
    x = w.pool("pool1", w.conv("conv1", w.input(1, 3, 227, 227), 64, 3, stride=2), 3, 2)
    for number, (squeeze, expand) in enumerate([(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2, 2):
        at = f"fire{number}"
        y = w.conv(f"{at}/squeeze1x1", x, squeeze, 1)
        wide = [w.conv(f"{at}/expand1x1", y, expand, 1), w.conv(f"{at}/expand3x3", y, expand, 3, pad=1)]
        x = w.add("Concat", f"{at}/concat", *wide)
        if number in (3, 5):
            x = w.pool(f"pool{number}", x, 3, 2)
    w.add("Dropout", "drop9", x, in_place=True)
    return w.text("squeezenet", w.average("pool10", w.conv("conv10", x, CLASSES, 1)))


def mobilenet() -> str:
    """MobileNet.   [Howard et al. 2017, table 1]."""
    w = Writer()
    x, channels = w.normed("conv1", w.input(1, 3, 224, 224), 32, 3, pad=1, stride=2), 32
    steps = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for number, (outputs, stride) in enumerate(steps, 2):
        x = w.normed(f"conv{number}/dw", x, channels, 3, pad=1, stride=stride, group=channels)
        x, channels = w.normed(f"conv{number}/sep", x, outputs, 1), outputs
    return w.text("mobilenet", w.conv("fc7", w.average("pool6", x), CLASSES, 1, relu=False))


def vgg16_deeplab() -> str:
    """VGG-16 as DeepLab v1 runs it, LargeFOV: dilated instead of the last strides.   [Chen et al. 2015]."""
    w = Writer()
    x = w.input(1, 3, 321, 321)
    stages = ((2, 64, 1, 2), (2, 128, 1, 2), (3, 256, 1, 2), (3, 512, 1, 1), (3, 512, 2, 1))
    for stage, (convolutions, outputs, dilation, stride) in enumerate(stages, 1):
        for number in range(1, convolutions + 1):
            x = w.conv(f"conv{stage}_{number}", x, outputs, 3, pad=dilation, dilation=dilation)
        x = w.pool(f"pool{stage}", x, 3, stride, 1)
    x = w.pool("pool5a", x, 3, 1, 1, kind="AVE")
    x = w.conv("fc7", w.conv("fc6", x, 1024, 3, pad=12, dilation=12), 1024, 1)
    x = w.conv("fc8", x, 21, 1, relu=False)
    return w.text("vgg16_deeplab", w.add("Interp", "fc8_interp", x, body="interp_param { zoom_factor: 8 }"))


NETS: dict[str, Callable[[], str]] = {
    "LeNet": lenet,
    "AlexNet": alexnet,
    "GoogLeNet": googlenet,
    "ResNet-50": resnet50,
    "SqueezeNet": squeezenet,
    "MobileNet": mobilenet,
    "VGG-16 DeepLab": vgg16_deeplab,
}
