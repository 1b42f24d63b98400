"""Nets that Caffe's users run, for `benchmarks.inference`: classifiers, segmentation, detection, and small ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segcaffe import NetSpec, layers, params

_MAX, _AVE = params.Pooling.MAX, params.Pooling.AVE
_WEIGHTS = {"weight_filler": {"type": "msra"}}
_FILLED = {**_WEIGHTS, "bias_filler": {"type": "constant", "value": 0.01}}


class Builder:
    """A net that grows at its end."""

    def __init__(self, *shape: int) -> None:
        self.net = NetSpec()
        self.top = self.add("data", layers.Input(shape=[{"dim": list(shape)}]))

    def add(self, name: str, top: Any) -> Any:
        """Name a layer, and go on from it."""
        setattr(self.net, name, top)
        self.top = top
        return top

    def convolution(
        self, name: str, outputs: int, size: int, *, stride: int = 1, pad: int = 0, relu: bool = True, **options: Any
    ) -> Any:
        """A convolution with bias."""
        options = {"kernel_size": size, "num_output": outputs, "stride": stride, "pad": pad, **_FILLED} | options
        self.add(name, layers.Convolution(self.top, **options))
        return self.relu(name) if relu else self.top

    def normalized(self, name: str, outputs: int, size: int, *, relu: bool = True, **options: Any) -> Any:
        """A convolution with BatchNorm and Scale."""
        self.convolution(name, outputs, size, relu=False, bias_term=False, bias_filler={}, **options)
        self.add(f"{name}_bn", layers.BatchNorm(self.top, in_place=True, use_global_stats=True))
        self.add(f"{name}_scale", layers.Scale(self.top, in_place=True, bias_term=True))
        return self.relu(name) if relu else self.top

    def relu(self, name: str) -> Any:
        """A ReLU in place."""
        return self.add(f"{name}_relu", layers.ReLU(self.top, in_place=True))

    def prelu(self, name: str) -> Any:
        """A PReLU in place."""
        return self.add(f"{name}_prelu", layers.PReLU(self.top, in_place=True))

    def pool(self, name: str, size: int = 2, stride: int = 2, pad: int = 0, kind: int = _MAX) -> Any:
        """Windows' maxima, or means."""
        return self.add(name, layers.Pooling(self.top, kernel_size=size, stride=stride, pad=pad, pool=kind))

    def mean(self, name: str = "pool") -> Any:
        """The mean of each channel."""
        return self.add(name, layers.Pooling(self.top, global_pooling=True, pool=_AVE))

    def dense(self, name: str, outputs: int, *, relu: bool = False) -> Any:
        """An InnerProduct."""
        self.add(name, layers.InnerProduct(self.top, num_output=outputs, **_FILLED))
        return self.relu(name) if relu else self.top

    def end(self) -> str:
        """The net with a Softmax, as text."""
        self.add("prob", layers.Softmax(self.top))
        return str(self.net.to_proto())


def lenet(batch: int) -> str:
    """LeNet, 28 x 28."""
    net = Builder(batch, 1, 28, 28)
    net.convolution("conv1", 20, 5, relu=False)
    net.pool("pool1")
    net.convolution("conv2", 50, 5, relu=False)
    net.pool("pool2")
    net.dense("ip1", 500, relu=True)
    net.dense("ip2", 10)
    return net.end()


def squeezenet(batch: int) -> str:
    """SqueezeNet 1.1."""
    net = Builder(batch, 3, 227, 227)
    net.convolution("conv1", 64, 3, stride=2)
    net.pool("pool1", 3)
    for i, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)), 2
    ):
        squeezed = net.convolution(f"fire{i}_squeeze", squeeze, 1)
        ones = net.convolution(f"fire{i}_1", expand, 1)
        net.top = squeezed
        threes = net.convolution(f"fire{i}_3", expand, 3, pad=1)
        net.add(f"fire{i}", layers.Concat(ones, threes))
        if i in (3, 5):
            net.pool(f"pool{i}", 3)
    net.convolution("conv10", 1000, 1)
    net.mean()
    return net.end()


def alexnet(batch: int) -> str:
    """AlexNet, its convolutions in groups."""
    net = Builder(batch, 3, 227, 227)
    net.convolution("conv1", 96, 11, stride=4)
    for i, options in ((1, {"num_output": 256, "size": 5, "pad": 2, "group": 2}),):
        net.pool(f"pool{i}", 3)
        net.add(f"norm{i}", layers.LRN(net.top, local_size=5, alpha=1e-4, beta=0.75))
        net.convolution("conv2", options["num_output"], options["size"], pad=2, group=2)
    net.pool("pool2", 3)
    net.add("norm2", layers.LRN(net.top, local_size=5, alpha=1e-4, beta=0.75))
    net.convolution("conv3", 384, 3, pad=1)
    net.convolution("conv4", 384, 3, pad=1, group=2)
    net.convolution("conv5", 256, 3, pad=1, group=2)
    net.pool("pool5", 3)
    net.dense("fc6", 4096, relu=True)
    net.dense("fc7", 4096, relu=True)
    net.dense("fc8", 1000)
    return net.end()


def _separable(net: Builder, name: str, channels: int, outputs: int, stride: int) -> None:
    net.normalized(f"{name}_depthwise", channels, 3, pad=1, stride=stride, group=channels)
    net.normalized(f"{name}_pointwise", outputs, 1)


_MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def _mobile_trunk(net: Builder) -> None:
    net.normalized("conv1", 32, 3, pad=1, stride=2)
    channels = 32
    for i, (outputs, stride) in enumerate(_MOBILE):
        _separable(net, f"conv{i + 2}", channels, outputs, stride)
        channels = outputs


def mobilenet(batch: int) -> str:
    """MobileNet v1."""
    net = Builder(batch, 3, 224, 224)
    _mobile_trunk(net)
    net.mean()
    net.convolution("fc", 1000, 1, relu=False)
    return net.end()


def mobilenet_ssd(batch: int) -> str:
    """MobileNet-SSD without what decodes its boxes: the scores and offsets of all heads in a row."""
    net = Builder(batch, 3, 300, 300)
    net.normalized("conv1", 32, 3, pad=1, stride=2)
    channels, heads = 32, []
    for i, (outputs, stride) in enumerate(_MOBILE):
        _separable(net, f"conv{i + 2}", channels, outputs, stride)
        channels = outputs
        if i in (10, 12):
            heads.append(net.top)
    for i, (narrow, outputs) in enumerate(((256, 512), (128, 256), (128, 256), (64, 128))):
        net.normalized(f"extra{i}_1", narrow, 1)
        heads.append(net.normalized(f"extra{i}_2", outputs, 3, pad=1, stride=2))
    rows = []
    for i, head in enumerate(heads):
        for kind, values in (("loc", 4), ("conf", 21)):
            net.top = head
            net.convolution(f"{kind}{i}", values * (3 if i == 0 else 6), 1, relu=False)
            net.add(f"{kind}{i}_perm", layers.Permute(net.top, order=[0, 2, 3, 1]))
            rows.append(net.add(f"{kind}{i}_flat", layers.Flatten(net.top)))
    net.add("rows", layers.Concat(*rows))
    return net.end()


def _residual(batch: int, blocks: Sequence[int]) -> str:
    net = Builder(batch, 3, 224, 224)
    net.normalized("conv1", 64, 7, pad=3, stride=2)
    bottom = net.pool("pool1", 3)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for block in range(count):
            name, stride = f"res{stage + 2}_{block}", 2 if stage and not block else 1
            shortcut = bottom
            if block == 0:
                net.top = bottom
                shortcut = net.normalized(f"{name}_shortcut", 4 * width, 1, stride=stride, relu=False)
            net.top = bottom
            net.normalized(f"{name}_a", width, 1, stride=stride)
            net.normalized(f"{name}_b", width, 3, pad=1)
            net.normalized(f"{name}_c", 4 * width, 1, relu=False)
            net.add(name, layers.Eltwise(shortcut, net.top))
            bottom = net.relu(name)
    net.mean("pool5")
    net.dense("fc", 1000)
    return net.end()


def resnet50(batch: int) -> str:
    """ResNet-50."""
    return _residual(batch, (3, 4, 6, 3))


def resnet101(batch: int) -> str:
    """ResNet-101."""
    return _residual(batch, (3, 4, 23, 3))


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


def googlenet(batch: int) -> str:
    """GoogLeNet as it is deployed."""
    net = Builder(batch, 3, 224, 224)
    net.convolution("conv1", 64, 7, pad=3, stride=2)
    net.pool("pool1", 3)
    net.add("norm1", layers.LRN(net.top, local_size=5, alpha=1e-4, beta=0.75))
    net.convolution("conv2_reduce", 64, 1)
    net.convolution("conv2", 192, 3, pad=1)
    net.add("norm2", layers.LRN(net.top, local_size=5, alpha=1e-4, beta=0.75))
    bottom = net.pool("pool2", 3)
    for name, (one, reduce3, three, reduce5, five, pooled) in _INCEPTION.items():
        tops = []
        for branch in ("1", "3", "5", "pool"):
            net.top = bottom
            if branch == "1":
                net.convolution(f"{name}_1", one, 1)
            elif branch == "pool":
                net.pool(f"{name}_pool", 3, 1, 1)
                net.convolution(f"{name}_proj", pooled, 1)
            else:
                net.convolution(f"{name}_reduce{branch}", reduce3 if branch == "3" else reduce5, 1)
                size = int(branch)
                net.convolution(f"{name}_{branch}", three if branch == "3" else five, size, pad=size // 2)
            tops.append(net.top)
        bottom = net.add(name, layers.Concat(*tops))
        if name in ("3b", "4e"):
            bottom = net.pool(f"pool{name}", 3)
    net.mean("pool5")
    net.dense("loss3", 1000)
    return net.end()


_VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def vgg16(batch: int) -> str:
    """VGG-16."""
    net = Builder(batch, 3, 224, 224)
    for stage, (count, outputs) in enumerate(_VGG, 1):
        for i in range(count):
            net.convolution(f"conv{stage}_{i + 1}", outputs, 3, pad=1)
        net.pool(f"pool{stage}")
    net.dense("fc6", 4096, relu=True)
    net.dense("fc7", 4096, relu=True)
    net.dense("fc8", 1000)
    return net.end()


def deeplab(batch: int) -> str:
    """DeepLab's VGG-16, 321 x 321."""
    net = Builder(batch, 3, 321, 321)
    for stage, (count, outputs) in enumerate(_VGG, 1):
        dilation = 2 if stage == 5 else 1
        for i in range(count):
            net.convolution(f"conv{stage}_{i + 1}", outputs, 3, pad=dilation, dilation=dilation)
        net.pool(f"pool{stage}", 3, 2 if stage < 4 else 1, 1)
    net.convolution("fc6", 1024, 3, pad=12, dilation=12)
    net.convolution("fc7", 1024, 1)
    net.convolution("fc8", 21, 1, relu=False)
    return net.end()


def enet(batch: int) -> str:
    """Bottlenecks as ENet's: PReLU, narrow 1x1, dilated and asymmetric kernels, and a Deconvolution at the end."""
    net = Builder(batch, 3, 256, 256)
    net.normalized("initial", 16, 3, pad=1, stride=2, relu=False)
    net.prelu("initial")
    channels = 16
    for stage, outputs in ((1, 64), (2, 128)):
        for block in range(5):
            name, bottom, width = f"block{stage}_{block}", net.top, outputs // 4
            first = block == 0
            net.normalized(f"{name}_reduce", width, 2 if first else 1, stride=2 if first else 1, relu=False)
            net.prelu(f"{name}_reduce")
            if block == 3:
                for axis, (kernel, pads) in enumerate((((5, 1), (2, 0)), ((1, 5), (0, 2)))):
                    sides = {"kernel_h": kernel[0], "kernel_w": kernel[1], "pad_h": pads[0], "pad_w": pads[1]}
                    net.add(f"{name}_asym{axis}", layers.Convolution(net.top, num_output=width, **sides, **_FILLED))
            else:
                dilation = 1 if block < 2 else block
                net.normalized(f"{name}_conv", width, 3, pad=dilation, dilation=dilation, relu=False)
            net.prelu(f"{name}_conv")
            net.normalized(f"{name}_expand", outputs, 1, relu=False)
            expanded = net.top
            net.top = bottom
            if first:
                net.pool(f"{name}_pool")
                net.normalized(f"{name}_match", outputs, 1, relu=False)
            net.add(name, layers.Eltwise(net.top, expanded))
            net.prelu(name)
        channels = outputs
    assert channels == outputs
    up = {"num_output": 12, "kernel_size": 8, "stride": 8, "bias_term": False, **_WEIGHTS}
    net.add("up", layers.Deconvolution(net.top, convolution_param=up))
    return net.end()


def _faces(shape: Sequence[int], convolutions: Sequence[tuple[int, int, int]], dense: int) -> Builder:
    """The trunk of a net that finds faces: (outputs, kernel, size of the pooling behind it, 0 for none)."""
    net = Builder(*shape)
    for i, (outputs, size, pooled) in enumerate(convolutions, 1):
        net.convolution(f"conv{i}", outputs, size, relu=False)
        net.prelu(f"conv{i}")
        if pooled:
            net.pool(f"pool{i}", pooled)
    if dense:
        net.dense("fc", dense)
        net.prelu("fc")
    return net


def _with_boxes(net: Builder, make: Callable[[str, int], Any]) -> str:
    trunk = net.top
    make("boxes", 4)
    net.top = trunk
    make("scores", 2)
    return net.end()


def faces12(batch: int) -> str:
    """Three convolutions and two heads, 12 x 12."""
    net = _faces((batch, 3, 12, 12), ((10, 3, 2), (16, 3, 0), (32, 3, 0)), 0)
    return _with_boxes(net, lambda name, outputs: net.convolution(name, outputs, 1, relu=False))


def faces24(batch: int) -> str:
    """As `faces12`, 24 x 24, with an InnerProduct."""
    net = _faces((batch, 3, 24, 24), ((28, 3, 3), (48, 3, 3), (64, 2, 0)), 128)
    return _with_boxes(net, net.dense)


def faces48(batch: int) -> str:
    """As `faces24`, 48 x 48, a layer deeper."""
    net = _faces((batch, 3, 48, 48), ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), 256)
    return _with_boxes(net, net.dense)


def cifar(batch: int) -> str:
    """CIFAR-10's quick net."""
    net = Builder(batch, 3, 32, 32)
    net.convolution("conv1", 32, 5, pad=2, relu=False)
    net.pool("pool1", 3)
    net.relu("pool1")
    net.convolution("conv2", 32, 5, pad=2)
    net.pool("pool2", 3, kind=_AVE)
    net.convolution("conv3", 64, 5, pad=2)
    net.pool("pool3", 3, kind=_AVE)
    net.dense("ip1", 64)
    net.dense("ip2", 10)
    return net.end()


def cifar_full(batch: int) -> str:
    """CIFAR-10's full net, with LRN."""
    net = Builder(batch, 3, 32, 32)
    net.convolution("conv1", 32, 5, pad=2, relu=False)
    net.pool("pool1", 3)
    net.relu("pool1")
    net.add("norm1", layers.LRN(net.top, local_size=3, alpha=5e-5, beta=0.75))
    net.convolution("conv2", 32, 5, pad=2)
    net.pool("pool2", 3, kind=_AVE)
    net.add("norm2", layers.LRN(net.top, local_size=3, alpha=5e-5, beta=0.75))
    net.convolution("conv3", 64, 5, pad=2)
    net.pool("pool3", 3, kind=_AVE)
    net.dense("ip1", 10)
    return net.end()


def perceptron(batch: int) -> str:
    """Three InnerProducts."""
    net = Builder(batch, 784)
    net.dense("ip1", 256, relu=True)
    net.dense("ip2", 128, relu=True)
    net.dense("ip3", 10)
    return net.end()


def autoencoder(batch: int) -> str:
    """Eight InnerProducts with Sigmoids."""
    net = Builder(batch, 784)
    for i, outputs in enumerate((1000, 500, 250, 30, 250, 500, 1000)):
        net.dense(f"ip{i}", outputs)
        if outputs != 30:
            net.add(f"sigmoid{i}", layers.Sigmoid(net.top))
    net.dense("out", 784)
    return net.end()


def residual_small(batch: int) -> str:
    """Three residual blocks of 16 channels, 32 x 32."""
    net = Builder(batch, 3, 32, 32)
    bottom = net.normalized("conv", 16, 3, pad=1)
    for i in range(3):
        net.normalized(f"block{i}_a", 16, 3, pad=1)
        net.normalized(f"block{i}_b", 16, 3, pad=1, relu=False)
        net.add(f"block{i}", layers.Eltwise(bottom, net.top))
        bottom = net.relu(f"block{i}")
    net.mean()
    net.dense("fc", 10)
    return net.end()


def mobile_small(batch: int) -> str:
    """Six separable convolutions, 32 x 32."""
    net = Builder(batch, 3, 32, 32)
    net.normalized("conv", 16, 3, pad=1, stride=2)
    channels = 16
    for i, (outputs, stride) in enumerate(((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))):
        _separable(net, f"block{i}", channels, outputs, stride)
        channels = outputs
    net.mean()
    net.dense("fc", 10)
    return net.end()


Make = Callable[[int], str]
SMALL: tuple[Make, ...] = (faces12, faces24, faces48, lenet, cifar, cifar_full, perceptron, autoencoder, residual_small,
                           mobile_small)  # fmt: skip
"""Nets of less than 3 ms."""
LARGE: tuple[Make, ...] = (lenet, squeezenet, alexnet, googlenet, mobilenet, mobilenet_ssd, resnet50, resnet101, enet,
                           vgg16, deeplab)  # fmt: skip
