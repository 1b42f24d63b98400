"""Nets of less than 3 ms, as Caffe's users have them on cameras and in examples; each function takes the batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.classic import Make, lenet
from benchmarks.net_writer import Writer


def _faces(w: Writer, shape: Sequence[int], convolutions: Sequence[tuple[int, int, int]], dense: int) -> str:
    """The trunk of a net that finds faces: (outputs, kernel, size of the pooling behind it, 0 for none)."""
    x = w.input(*shape)
    for i, (outputs, size, pooled) in enumerate(convolutions, 1):
        x = w.prelu(w.conv(f"conv{i}", x, outputs, size, relu=False))
        if pooled:
            x = w.pool(f"pool{i}", x, pooled, 2)
    return w.prelu(w.full("fc", x, dense)) if dense else x


def _with_boxes(w: Writer, name: str, make: Callable[[str, int], str]) -> str:
    """End the net with offsets of boxes, and with scores."""
    make("boxes", 4)
    return w.text(name, make("scores", 2))


def faces12(batch: int = 1) -> str:
    """Three convolutions and two heads, 12 x 12."""
    w = Writer()
    x = _faces(w, (batch, 3, 12, 12), ((10, 3, 2), (16, 3, 0), (32, 3, 0)), 0)
    return _with_boxes(w, "faces12", lambda name, outputs: w.conv(name, x, outputs, 1, relu=False))


def faces24(batch: int = 1) -> str:
    """As `faces12`, 24 x 24, with an InnerProduct."""
    w = Writer()
    x = _faces(w, (batch, 3, 24, 24), ((28, 3, 3), (48, 3, 3), (64, 2, 0)), 128)
    return _with_boxes(w, "faces24", lambda name, outputs: w.full(name, x, outputs))


def faces48(batch: int = 1) -> str:
    """As `faces24`, 48 x 48, a layer deeper."""
    w = Writer()
    x = _faces(w, (batch, 3, 48, 48), ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), 256)
    return _with_boxes(w, "faces48", lambda name, outputs: w.full(name, x, outputs))


def cifar(batch: int = 1) -> str:
    """CIFAR-10's quick net, as Caffe's example has it."""
    w = Writer()
    x = w.relu(w.pool("pool1", w.conv("conv1", w.input(batch, 3, 32, 32), 32, 5, pad=2, relu=False), 3, 2))
    x = w.pool("pool2", w.conv("conv2", x, 32, 5, pad=2), 3, 2, kind="AVE")
    x = w.pool("pool3", w.conv("conv3", x, 64, 5, pad=2), 3, 2, kind="AVE")
    return w.text("cifar", w.full("ip2", w.full("ip1", x, 64), 10))


def cifar_full(batch: int = 1) -> str:
    """CIFAR-10's full net, with LRN, as Caffe's example has it."""
    w = Writer()
    x = w.relu(w.pool("pool1", w.conv("conv1", w.input(batch, 3, 32, 32), 32, 5, pad=2, relu=False), 3, 2))
    x = w.norm("norm1", x, size=3, alpha=5e-5)
    x = w.norm("norm2", w.pool("pool2", w.conv("conv2", x, 32, 5, pad=2), 3, 2, kind="AVE"), size=3, alpha=5e-5)
    x = w.pool("pool3", w.conv("conv3", x, 64, 5, pad=2), 3, 2, kind="AVE")
    return w.text("cifar_full", w.full("ip1", x, 10))


def perceptron(batch: int = 1) -> str:
    """Three InnerProducts."""
    w = Writer()
    x = w.full("ip2", w.full("ip1", w.input(batch, 784), 256, relu=True), 128, relu=True)
    return w.text("perceptron", w.full("ip3", x, 10))


def autoencoder(batch: int = 1) -> str:
    """Eight InnerProducts with Sigmoids, as Caffe's example of MNIST has them."""
    w = Writer()
    x = w.input(batch, 784)
    for i, outputs in enumerate((1000, 500, 250, 30, 250, 500, 1000)):
        x = w.full(f"ip{i}", x, outputs)
        if outputs != 30:
            x = w.add("Sigmoid", f"sigmoid{i}", x)
    return w.text("autoencoder", w.full("out", x, 784))


def residual_small(batch: int = 1) -> str:
    """Three residual blocks of 16 channels, 32 x 32."""
    w = Writer()
    x = w.normed("conv", w.input(batch, 3, 32, 32), 16, 3, pad=1)
    for i in range(3):
        y = w.normed(f"block{i}_b", w.normed(f"block{i}_a", x, 16, 3, pad=1), 16, 3, pad=1, relu=False)
        x = w.relu(w.add("Eltwise", f"block{i}", x, y))
    return w.text("residual_small", w.full("fc", w.average("pool", x), 10))


def mobile_small(batch: int = 1) -> str:
    """Six separable convolutions, 32 x 32."""
    w = Writer()
    x, channels = w.normed("conv", w.input(batch, 3, 32, 32), 16, 3, pad=1, stride=2), 16
    for i, (outputs, stride) in enumerate(((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))):
        x, channels = w.separable(f"block{i}", x, channels, outputs, stride), outputs
    return w.text("mobile_small", w.full("fc", w.average("pool", x), 10))


SMALL: tuple[Make, ...] = (
    *(faces12, faces24, faces48, lenet, cifar, cifar_full, perceptron, autoencoder, residual_small),
    mobile_small,
)
