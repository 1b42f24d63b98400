"""Kernel, stride, pad and dilation, with every rule's error."""

from __future__ import annotations

import pytest

from segcaffe.errors import ShapeError
from segcaffe.proto import text
from segcaffe.proto.caffe_pb2 import ConvolutionParameter, PoolingParameter
from segcaffe.window import Window

CONV = 'layer "conv1" (Convolution)'
POOL = 'layer "pool1" (Pooling)'


def conv(options, num_axes=2):
    return Window.from_convolution(text.parse(options, ConvolutionParameter()), num_axes, CONV)


def pool(options, spatial=(6, 8)):
    return Window.from_pooling(text.parse(options, PoolingParameter()), spatial, POOL)


@pytest.mark.parametrize(
    ("options", "num_axes", "kernel", "stride", "pad", "dilation"),
    [
        ("kernel_size: 3", 2, (3, 3), (1, 1), (0, 0), (1, 1)),
        ("kernel_size: 3 stride: 2 pad: 1 dilation: 4", 2, (3, 3), (2, 2), (1, 1), (4, 4)),
        ("kernel_size: [3, 5] stride: [1, 2] pad: [0, 3] dilation: [2, 1]", 2, (3, 5), (1, 2), (0, 3), (2, 1)),
        ("kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 4", 2, (3, 5), (1, 2), (4, 0), (1, 1)),
        ("kernel_size: 3 pad_w: 2", 2, (3, 3), (1, 1), (0, 2), (1, 1)),
        ("kernel_size: 3", 3, (3, 3, 3), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
        ("kernel_size: [1, 2, 3]", 3, (1, 2, 3), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
        ("kernel_size: 3", 1, (3,), (1,), (0,), (1,)),
        ("kernel_size: 3", 0, (), (), (), ()),
    ],
)
def test_convolution(options, num_axes, kernel, stride, pad, dilation):
    window = conv(options, num_axes)
    assert (window.kernel, window.stride, window.pad, window.dilation) == (kernel, stride, pad, dilation)
    assert window.num_axes == num_axes


@pytest.mark.parametrize(
    ("options", "kernel", "stride", "pad"),
    [
        ("kernel_size: 3 stride: 2 pad: 1", (3, 3), (2, 2), (1, 1)),
        ("kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2", (2, 3), (2, 1), (0, 2)),
        ("kernel_size: 2", (2, 2), (1, 1), (0, 0)),
        ("global_pooling: true", (6, 8), (1, 1), (0, 0)),
    ],
)
def test_pooling(options, kernel, stride, pad):
    window = pool(options)
    assert (window.kernel, window.stride, window.pad, window.dilation) == (kernel, stride, pad, (1, 1))


def test_sizes():
    window = conv("kernel_size: [3, 5] stride: [1, 2] pad: 2 dilation: [2, 1]")
    assert window.extent == (5, 5)
    assert window.taps == 15
    assert window.output_shape((7, 8)) == (7, 4)
    assert window.input_shape((7, 4)) == (7, 7)


def test_the_smallest_input():
    assert conv("kernel_size: 3 dilation: 2").output_shape((5, 5)) == (1, 1)


@pytest.mark.parametrize(
    ("options", "num_axes", "message"),
    [
        ("", 2, "kernel_size must be given. Received: no kernel_size."),
        ("kernel_size: 0", 2, "kernel_size must be 1 or more on every axis. Received: kernel_size 0x0."),
        ("kernel_size: 3 stride: [1, 0]", 2, "stride must be 1 or more on every axis. Received: stride 1x0."),
        ("kernel_size: 3 dilation: 0", 2, "dilation must be 1 or more on every axis. Received: dilation 0x0."),
        (
            "kernel_size: [1, 2, 3]",
            2,
            "kernel_size takes one value for all spatial axes or one for each of the 2. Received: 3 values (1x2x3).",
        ),
        (
            "kernel_size: 3 pad: [1, 2]",
            3,
            "pad takes one value for all spatial axes or one for each of the 3. Received: 2 values (1x2).",
        ),
        (
            "kernel_h: 3 kernel_w: 3",
            3,
            "kernel_h and kernel_w are for two spatial axes; give kernel_size once per axis. "
            "Received: 3 axes, kernel_h: 3, kernel_w: 3.",
        ),
        ("kernel_h: 3", 2, "kernel_h and kernel_w must be given together. Received: kernel_h: 3."),
        ("kernel_size: 3 stride_w: 3", 2, "stride_h and stride_w must be given together. Received: stride_w: 3."),
        (
            "kernel_size: 3 kernel_h: 3 kernel_w: 3",
            2,
            "either kernel_size or kernel_h and kernel_w may be given, not both. "
            "Received: kernel_size: 3, kernel_h: 3, kernel_w: 3.",
        ),
        (
            "kernel_size: 3 pad: 1 pad_h: 0",
            2,
            "either pad or pad_h and pad_w may be given, not both. Received: pad: 1, pad_h: 0.",
        ),
    ],
)
def test_convolution_errors(options, num_axes, message):
    with pytest.raises(ShapeError) as caught:
        conv(options, num_axes)
    assert str(caught.value) == f"{CONV}: {message}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "kernel_size must be given. Received: no kernel_size."),
        ("kernel_size: 0", "kernel_size must be 1 or more on every axis. Received: kernel_size 0x0."),
        ("kernel_size: 2 stride: 0", "stride must be 1 or more on every axis. Received: stride 0x0."),
        (
            "kernel_size: 2 pad: 2",
            "pad must be smaller than kernel_size, or windows would hold nothing but padding. "
            "Received: pad 2x2, kernel_size 2x2.",
        ),
        (
            "global_pooling: true kernel_size: 2",
            "global_pooling takes no kernel_size, its window is the whole input. Received: kernel_size: 2.",
        ),
        (
            "global_pooling: true stride: 2",
            "global_pooling takes pad 0 and stride 1. Received: pad 0x0, stride 2x2.",
        ),
        (
            "kernel_size: 2 stride: 1 stride_h: 2 stride_w: 2",
            "either stride or stride_h and stride_w may be given, not both. "
            "Received: stride: 1, stride_h: 2, stride_w: 2.",
        ),
    ],
)
def test_pooling_errors(options, message):
    with pytest.raises(ShapeError) as caught:
        pool(options)
    assert str(caught.value) == f"{POOL}: {message}"


def test_kernel_larger_than_the_padded_input():
    with pytest.raises(ShapeError) as caught:
        conv("kernel_size: 3 dilation: 2 pad: 1").output_shape((3, 2))
    assert str(caught.value) == (
        f"{CONV}: the kernel, dilation included, must fit into the padded input. Received: kernel_size 3x3, "
        "dilation 2x2 (spanning 5x5), input 3x2, pad 1x1."
    )


def test_deconvolution_with_nothing_left():
    with pytest.raises(ShapeError) as caught:
        conv("kernel_size: 2 pad: 1").input_shape((1, 3))
    assert str(caught.value) == (
        f"{CONV}: the padding must leave at least one pixel of the output. Received: input 1x3, kernel_size 2x2, "
        "stride 1x1, pad 1x1."
    )


@pytest.mark.parametrize(("spatial", "received"), [((3,), "1 (3)"), ((3, 4, 5), "3 (3x4x5)"), ((), "0 (none)")])
def test_wrong_number_of_axes(spatial, received):
    with pytest.raises(ShapeError) as caught:
        conv("kernel_size: 2").output_shape(spatial)
    assert str(caught.value) == f"{CONV}: the input must have 2 spatial axes. Received: {received}."


def test_an_error_without_a_layer():
    with pytest.raises(ShapeError, match=r"^kernel_size must be 1 or more on every axis. Received: kernel_size 0.$"):
        Window((0,), (1,), (0,), (1,))
