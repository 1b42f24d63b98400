"""Deploy files of classic nets, written from their papers; each function takes the batch size."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.net_writer import Writer

CLASSES = 1000


def lenet(batch: int = 1) -> str:
    """LeNet as Caffe's example has it.   [LeCun et al. 1998]."""
    w = Writer()
    x = w.pool("pool1", w.conv("conv1", w.input(batch, 1, 28, 28), 20, 5, relu=False), 2, 2)
    x = w.pool("pool2", w.conv("conv2", x, 50, 5, relu=False), 2, 2)
    return w.text("lenet", w.full("ip2", w.full("ip1", x, 500, relu=True), 10))


def alexnet(batch: int = 1) -> str:
    """AlexNet in Caffe's order, pooling before normalisation (CaffeNet).   [Krizhevsky et al. 2012]."""
    w = Writer()
    x = w.norm("norm1", w.pool("pool1", w.conv("conv1", w.input(batch, 3, 227, 227), 96, 11, stride=4), 3, 2))
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


def googlenet(batch: int = 1) -> str:
    """GoogLeNet.   [Szegedy et al. 2015, table 1]."""
    w = Writer()
    x = w.norm("norm1", w.pool("pool1", w.conv("conv1", w.input(batch, 3, 224, 224), 64, 7, pad=3, stride=2), 3, 2))
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


def _residual(name: str, batch: int, counts: tuple[int, ...]) -> str:
    """A ResNet of bottlenecks as its authors' Caffe files have it, strides in the 1x1 convolutions."""
    w = Writer()
    x = w.pool("pool1", w.normed("conv1", w.input(batch, 3, 224, 224), 64, 7, pad=3, stride=2), 3, 2)
    for stage, blocks in enumerate(counts, 2):
        for block in range(blocks):
            width, stride = 16 << stage, 2 if block == 0 and stage > 2 else 1
            at = f"res{stage}{'abcdefghijklmnopqrstuvw'[block]}"
            side = x if block else w.normed(f"{at}_branch1", x, 4 * width, 1, stride=stride, relu=False)
            y = w.normed(f"{at}_branch2a", x, width, 1, stride=stride)
            y = w.normed(f"{at}_branch2b", y, width, 3, pad=1)
            x = w.relu(w.add("Eltwise", at, side, w.normed(f"{at}_branch2c", y, 4 * width, 1, relu=False)))
    return w.text(name, w.full("fc1000", w.average("pool5", x), CLASSES))


def resnet50(batch: int = 1) -> str:
    """ResNet-50.   [He et al. 2016]."""
    return _residual("resnet50", batch, (3, 4, 6, 3))


def resnet101(batch: int = 1) -> str:
    """ResNet-101.   [He et al. 2016]."""
    return _residual("resnet101", batch, (3, 4, 23, 3))


def squeezenet(batch: int = 1) -> str:
    """SqueezeNet 1.1.   [Iandola et al. 2016]."""
    w = Writer()
    x = w.pool("pool1", w.conv("conv1", w.input(batch, 3, 227, 227), 64, 3, stride=2), 3, 2)
    for number, (squeeze, expand) in enumerate([(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2, 2):
        at = f"fire{number}"
        y = w.conv(f"{at}/squeeze1x1", x, squeeze, 1)
        wide = [w.conv(f"{at}/expand1x1", y, expand, 1), w.conv(f"{at}/expand3x3", y, expand, 3, pad=1)]
        x = w.add("Concat", f"{at}/concat", *wide)
        if number in (3, 5):
            x = w.pool(f"pool{number}", x, 3, 2)
    w.add("Dropout", "drop9", x, in_place=True)
    return w.text("squeezenet", w.average("pool10", w.conv("conv10", x, CLASSES, 1)))


MOBILE_STEPS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Outputs and strides of MobileNet's separable convolutions."""


def mobilenet(batch: int = 1) -> str:
    """MobileNet.   [Howard et al. 2017, table 1]."""
    w = Writer()
    x, channels = w.normed("conv1", w.input(batch, 3, 224, 224), 32, 3, pad=1, stride=2), 32
    for number, (outputs, stride) in enumerate(MOBILE_STEPS, 2):
        x, channels = w.separable(f"conv{number}", x, channels, outputs, stride), outputs
    return w.text("mobilenet", w.conv("fc7", w.average("pool6", x), CLASSES, 1, relu=False))


def mobilenet_ssd(batch: int = 1) -> str:
    """MobileNet-SSD without what decodes its boxes: scores and offsets of all heads in a row.   [Liu et al. 2016]."""
    w = Writer()
    x, channels = w.normed("conv1", w.input(batch, 3, 300, 300), 32, 3, pad=1, stride=2), 32
    heads = []
    for number, (outputs, stride) in enumerate(MOBILE_STEPS, 2):
        x, channels = w.separable(f"conv{number}", x, channels, outputs, stride), outputs
        if number in (12, 14):
            heads.append(x)
    for number, (narrow, outputs) in enumerate(((256, 512), (128, 256), (128, 256), (64, 128)), 15):
        x = w.normed(f"conv{number}_1", x, narrow, 1)
        x = w.normed(f"conv{number}_2", x, outputs, 3, pad=1, stride=2)
        heads.append(x)
    rows = []
    for i, head in enumerate(heads):
        for kind, values in (("loc", 4), ("conf", 21)):
            y = w.conv(f"{kind}{i}", head, values * (3 if i == 0 else 6), 1, relu=False)
            y = w.add("Permute", f"{kind}{i}/perm", y, body="permute_param { order: [0, 2, 3, 1] }")
            rows.append(w.add("Flatten", f"{kind}{i}/flat", y))
    return w.text("mobilenet_ssd", w.add("Concat", "rows", *rows))


_VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions of each stage, and their outputs."""


def vgg16(batch: int = 1) -> str:
    """VGG-16.   [Simonyan and Zisserman 2015]."""
    w = Writer()
    x = w.input(batch, 3, 224, 224)
    for stage, (convolutions, outputs) in enumerate(_VGG, 1):
        for number in range(1, convolutions + 1):
            x = w.conv(f"conv{stage}_{number}", x, outputs, 3, pad=1)
        x = w.pool(f"pool{stage}", x, 2, 2)
    for name in ("fc6", "fc7"):
        x = w.full(name, x, 4096, relu=True, dropout=True)
    return w.text("vgg16", w.full("fc8", x, CLASSES))


def vgg16_deeplab(batch: int = 1) -> str:
    """VGG-16 as DeepLab v1 runs it, LargeFOV: dilated instead of the last strides.   [Chen et al. 2015]."""
    w = Writer()
    x = w.input(batch, 3, 321, 321)
    for stage, (convolutions, outputs) in enumerate(_VGG, 1):
        dilation, stride = 2 if stage == 5 else 1, 2 if stage < 4 else 1
        for number in range(1, convolutions + 1):
            x = w.conv(f"conv{stage}_{number}", x, outputs, 3, pad=dilation, dilation=dilation)
        x = w.pool(f"pool{stage}", x, 3, stride, 1)
    x = w.pool("pool5a", x, 3, 1, 1, kind="AVE")
    x = w.conv("fc7", w.conv("fc6", x, 1024, 3, pad=12, dilation=12), 1024, 1)
    x = w.conv("fc8", x, 21, 1, relu=False)
    return w.text("vgg16_deeplab", w.add("Interp", "fc8_interp", x, body="interp_param { zoom_factor: 8 }"))


def enet(batch: int = 1) -> str:
    """Bottlenecks as ENet's: PReLU, narrow 1x1, dilated and asymmetric kernels, a Deconvolution at the end.

    [Paszke et al. 2016]; without its second and third rounds of blocks.
    """
    w = Writer()
    x = w.prelu(w.normed("initial", w.input(batch, 3, 256, 256), 16, 3, pad=1, stride=2, relu=False))
    for stage, outputs in ((1, 64), (2, 128)):
        for block in range(5):
            x = _bottleneck(w, f"block{stage}_{block}", x, outputs, block)
    up = "convolution_param { num_output: 12 kernel_size: 8 stride: 8 bias_term: false }"
    return w.text("enet", w.add("Deconvolution", "up", x, body=up))


def _bottleneck(w: Writer, name: str, bottom: str, outputs: int, block: int) -> str:
    """The first halves the image, the fourth has a kernel of 5x1 and one of 1x5, the others are dilated."""
    width, step = outputs // 4, 2 if block == 0 else 1
    x = w.prelu(w.normed(f"{name}_reduce", bottom, width, step, stride=step, relu=False))
    if block == 3:
        for axis, sides in enumerate(
            ("kernel_h: 5 kernel_w: 1 pad_h: 2 pad_w: 0", "kernel_h: 1 kernel_w: 5 pad_w: 2 pad_h: 0")
        ):
            body = f"convolution_param {{ num_output: {width} {sides} }}"
            x = w.add("Convolution", f"{name}_asym{axis}", x, body=body)
    else:
        dilation = 1 if block < 2 else block
        x = w.normed(f"{name}_conv", x, width, 3, pad=dilation, dilation=dilation, relu=False)
    x = w.normed(f"{name}_expand", w.prelu(x), outputs, 1, relu=False)
    if block == 0:
        bottom = w.normed(f"{name}_match", w.pool(f"{name}_pool", bottom, 2, 2), outputs, 1, relu=False)
    return w.prelu(w.add("Eltwise", name, bottom, x))


NETS: dict[str, Callable[[], str]] = {
    "LeNet": lenet,
    "AlexNet": alexnet,
    "GoogLeNet": googlenet,
    "ResNet-50": resnet50,
    "SqueezeNet": squeezenet,
    "MobileNet": mobilenet,
    "VGG-16 DeepLab": vgg16_deeplab,
}
"""Those of the table of exports."""
Make = Callable[[int], str]
LARGE: tuple[Make, ...] = (
    *(lenet, squeezenet, alexnet, googlenet, mobilenet, mobilenet_ssd, resnet50, resnet101, enet, vgg16),
    vgg16_deeplab,
)
"""Those that are timed beside the runtimes."""
