"""The layers of mobile nets and backbones against their definitions, number by number, as their Caffes have them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.mobile import CASES

Array = np.ndarray
Reference = Callable[[LayerCase, list[Array], list[Array]], Array]
"""From a case, its bottoms and its parameters to the top."""


def _each(function: Callable[[float], float]) -> Reference:
    return lambda case, bottoms, params: np.vectorize(function)(bottoms[0])


def _selu(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options = case.layer_param().selu_param
    scale, alpha = getattr(options, "lambda"), options.alpha
    return np.vectorize(lambda x: scale * (x if x > 0 else alpha * math.expm1(x)))(bottoms[0])


def _hard_sigmoid(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options = case.layer_param().hard_sigmoid_param
    return np.vectorize(lambda x: min(max(options.alpha * x + options.beta, 0.0), 1.0))(bottoms[0])


def _crelu(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    slope = case.layer_param().relu_param.negative_slope
    both = np.concatenate([bottoms[0], -bottoms[0]], axis=1)
    return np.vectorize(lambda x: x if x > 0 else slope * x)(both)


def _normalize(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options, x, y = case.layer_param().norm_param, bottoms[0], np.empty_like(bottoms[0])
    if not params:
        return x / np.sqrt((x**2).sum(1, keepdims=True) + 1e-6)
    for n, *place in np.ndindex(x.shape[:1] + x.shape[2:]):
        vector = x[n] if options.across_spatial else x[(n, slice(None), *place)]
        length = math.sqrt(float((vector**2).sum()) + options.eps)
        for c in range(x.shape[1]):
            scale = params[0] if options.channel_shared else params[0][c]
            y[(n, c, *place)] = scale * x[(n, c, *place)] / length
    return y


def _grn(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    return bottoms[0] / np.sqrt((bottoms[0] ** 2).sum(1, keepdims=True) + case.layer_param().grn_param.bias)


def _l2(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    return np.stack([x / np.linalg.norm(x.ravel()) for x in bottoms[0]])


def _axpy(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    a, x, z = bottoms
    y = np.empty_like(x)
    for n, c in np.ndindex(*x.shape[:2]):
        y[n, c] = float(a[n, c].reshape(())) * x[n, c] + z[n, c]
    return y


def _mul(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    return bottoms[0] * (bottoms[1] if len(bottoms) == 2 else params[0])


def _add(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    return bottoms[0] + bottoms[1]


def _space_to_batch(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    """Blocks of 2 x 3."""
    x = np.pad(bottoms[0], [(0, 0), (1, 1), (0, 3), (0, 0)])
    return np.concatenate([x[:, i::2, j::3] for i in range(2) for j in range(3)])


def _batch_to_space(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    """Blocks of 2 x 2."""
    x = bottoms[0]
    items = len(x) // 4
    whole = np.empty((items, 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
    for k, (i, j) in enumerate(np.ndindex(2, 2)):
        whole[:, i::2, j::2] = x[k * items : (k + 1) * items]
    return whole[:, 1:, :-2]


def _pyramid(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    x, levels = bottoms[0], []
    height, width = x.shape[2:]
    for bins in case.layer_param().spatial_pyramid_pooling_param.spatial_bin:
        level = np.empty((*x.shape[:2], bins, bins))
        for i, j in np.ndindex(bins, bins):
            rows = slice(math.floor(i * height / bins), math.ceil((i + 1) * height / bins))
            columns = slice(math.floor(j * width / bins), math.ceil((j + 1) * width / bins))
            level[:, :, i, j] = x[:, :, rows, columns].max(axis=(2, 3))
        levels.append(level)
    return levels[0] if len(levels) == 1 else np.concatenate([level.reshape(len(x), -1) for level in levels], axis=1)


def _shuffle(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    x, y, group = bottoms[0], np.empty_like(bottoms[0]), case.layer_param().shuffle_channel_param.group
    rest = x.shape[1] // group
    for i, j in itertools.product(range(group), range(rest)):
        y[:, j * group + i] = x[:, i * rest + j]
    return y


def _reorg(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    """Darknet's loops, over flat memory."""
    options, x = case.layer_param().reorg_param, bottoms[0]
    (n, c, h, w), s = x.shape, options.stride or 2
    flat, out, few = x.reshape(-1), np.empty(x.size), c // (s * s)
    for b, k, j, i in np.ndindex(n, c, h, w):
        small = i + w * (j + h * (k + c * b))
        offset = k // few
        large = i * s + offset % s + w * s * (j * s + offset // s + h * s * (k % few + few * b))
        if options.reverse:
            out[large] = flat[small]
        else:
            out[small] = flat[large]
    return out.reshape((n, few, h * s, w * s) if options.reverse else (n, c * s * s, h // s, w // s))


def _squeeze(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    axes = tuple(case.layer_param().squeeze_param.axis)
    return np.squeeze(bottoms[0], axes or None)


def _gather(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options = case.layer_param().gather_param
    if not options.indices:
        return bottoms[0]
    shape = [] if list(options.shape) == [0] else list(options.shape)
    return np.take(bottoms[0], np.reshape(list(options.indices), shape), axis=options.axis)


def _depth_to_space(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options, x = case.layer_param().depth_to_space_param, bottoms[0]
    s, kind = options.block_size, options.data_format
    if kind == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    n, c, h, w = x.shape
    y = np.empty((n, c // s**2, h * s, w * s))
    for d, i, j in np.ndindex(*y.shape[1:]):
        row, column = i % s, j % s
        channel = (d * s + row) * s + column if kind == "CRD" else (row * s + column) * y.shape[1] + d
        y[:, d, i, j] = x[:, channel, i // s, j // s]
    return y.transpose(0, 2, 3, 1) if kind == "NHWC" else y


def _space_to_depth(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options, x = case.layer_param().space_to_depth_param, bottoms[0]
    s = options.block_size
    if options.data_format == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    n, c, h, w = x.shape
    y = np.empty((n, c * s**2, h // s, w // s))
    for d, i, j in np.ndindex(c, h, w):
        y[:, (i % s * s + j % s) * c + d, i // s, j // s] = x[:, d, i, j]
    return y.transpose(0, 2, 3, 1) if options.data_format == "NHWC" else y


def _padding(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    expected = {
        "": ((2, 1), (2, 1)),
        "cut": ((-2, 3), (-2, 3)),
        "pad": ((2, 2), (2, 2)),
        "sides": ((1, 1), (2, 3)),
        "power": ((1, 2), (1, 1)),
    }[case.suffix]
    x = bottoms[0]
    y = np.zeros((*x.shape[:2], *(size + sum(pair) for size, pair in zip(x.shape[2:], expected, strict=True))))
    for i, j in np.ndindex(*y.shape[2:]):
        row, column = i - expected[0][0], j - expected[1][0]
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            y[:, :, i, j] = x[:, :, row, column]
    return y


def _pad(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options = case.layer_param().pad_param
    pairs = np.reshape(list(options.paddings), (-1, 2))
    return np.pad(bottoms[0], pairs, constant_values=options.constant_values)


def _crop(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    return bottoms[0][:, :, : bottoms[1].shape[2], : bottoms[1].shape[3]]


def _repeated(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    param = case.layer_param()
    stride = param.upsample_darknet_param.stride
    factors = {"Upsample": (2, 2), "UpsampleDarknet": (stride, stride)}[case.type]
    if case.suffix == "sides":
        factors = (3, 1)
    return bottoms[0].repeat(factors[0], axis=2).repeat(factors[1], axis=3)


def _resized(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    """Each pixel by itself; sizes and scales are those of the cases."""
    nearest = case.type == "ResizeNearestNeighbor"
    options = case.layer_param().resize_nearest_neighbor_param if nearest else case.layer_param().resize_bilinear_param
    x = bottoms[0].transpose(0, 3, 1, 2) if options.data_format == "NHWC" else bottoms[0]
    height = options.output_height or math.floor(x.shape[2] * options.scale_height)
    width = options.output_width or math.floor(x.shape[3] * options.scale_width)
    half = options.half_pixel_centers or (options.half_pixel_onnx if nearest else options.pytorch_half_pixel)

    def place(i: int, size: int, out: int) -> float:
        if options.align_corners and out > 1:
            return i * (size - 1) / (out - 1)
        if out == 1 and not nearest and options.pytorch_half_pixel:
            return -0.5
        return (
            (i + 0.5) * size / out - (0.0 if nearest and options.half_pixel_centers else 0.5)
            if half
            else i * size / out
        )

    y = np.empty((*x.shape[:2], height, width))
    for i, j in np.ndindex(height, width):
        at = [place(i, x.shape[2], height), place(j, x.shape[3], width)]
        if nearest:
            near = [math.floor(p + 0.5 * options.align_corners) for p in at]
            row, column = (min(max(p, 0), size - 1) for p, size in zip(near, x.shape[2:], strict=True))
            y[:, :, i, j] = x[:, :, row, column]
            continue
        total = np.zeros(x.shape[:2])
        for di, dj in itertools.product(range(2), range(2)):
            lows = [math.floor(p) for p in at]
            parts = [p - low if d else 1 - p + low for p, low, d in zip(at, lows, (di, dj), strict=True)]
            row, column = (
                min(max(low + d, 0), size - 1) for low, d, size in zip(lows, (di, dj), x.shape[2:], strict=True)
            )
            total += parts[0] * parts[1] * x[:, :, row, column]
        y[:, :, i, j] = total
    return y.transpose(0, 2, 3, 1) if options.data_format == "NHWC" else y


def _convolution(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    """One product at a time; the group follows from the shape of the weight."""
    options, x, weight = case.layer_param().convolution_param, bottoms[0], params[0]
    kernel, stride = options.kernel_size[0], (list(options.stride) or [1])[0]
    pad, dilation = (list(options.pad) or [0])[0], (list(options.dilation) or [1])[0]
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    sizes = [(size - dilation * (kernel - 1) - 1) // stride + 1 for size in padded.shape[2:]]
    y = np.zeros((len(x), len(weight), *sizes))
    per_group = len(weight) * weight.shape[1] // x.shape[1]
    for m, k, a, b, i, j in np.ndindex(len(weight), weight.shape[1], kernel, kernel, *sizes):
        channel = m // per_group * weight.shape[1] + k
        y[:, m, i, j] += weight[m, k, a, b] * padded[:, channel, i * stride + a * dilation, j * stride + b * dilation]
    return y + (params[1][:, None, None] if options.bias_term else 0)


def _local(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    options, x = case.layer_param().local_param, bottoms[0]
    k, s, p = options.kernel_size, options.stride, options.pad
    padded = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    height, width = ((size - k) // s + 1 for size in padded.shape[2:])
    y = np.empty((len(x), options.num_output, height, width))
    for n, m, i, j in np.ndindex(*y.shape):
        window = padded[n, :, i * s : i * s + k, j * s : j * s + k].ravel()
        bias = params[1][0, 0, m, i * width + j] if options.bias_term else 0
        y[n, m, i, j] = window @ params[0][m, 0, :, i * width + j] + bias
    return y


def _margin(case: LayerCase, bottoms: list[Array], params: list[Array]) -> Array:
    y, bias = bottoms[0].copy(), case.layer_param().label_specific_add_param.bias
    for n, label in enumerate(bottoms[1].astype(int)):
        if case.phase == "TRAIN" and y[n, label] > bias:
            y[n, label] -= bias
    return y


REFERENCES: dict[str, Reference] = {
    "ReLU6": _each(lambda x: min(max(x, 0.0), 6.0)),
    "CReLU": _crelu,
    "SeLU": _selu,
    "SeLu": _selu,
    "SELU": _selu,
    "Mish": _each(lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    "HardSigmoid": _hard_sigmoid,
    "HSigmoid": _each(lambda x: min(max(x + 3, 0.0), 6.0) / 6),
    "HardSwish": _each(lambda x: x * min(max(x + 3, 0.0), 6.0) / 6),
    "HSwish": _each(lambda x: x * min(max(x + 3, 0.0), 6.0) / 6),
    "Normalize": _normalize,
    "GRN": _grn,
    "L2Normalization": _l2,
    "Axpy": _axpy,
    "Mul": _mul,
    "Add": _add,
    "SpaceToBatchND": _space_to_batch,
    "BatchToSpaceND": _batch_to_space,
    "SpatialPyramidPooling": _pyramid,
    "ShuffleChannel": _shuffle,
    "Reorg": _reorg,
    "Squeeze": _squeeze,
    "Gather": _gather,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Padding": _padding,
    "Pad": _pad,
    "SimpleCrop": _crop,
    "Upsample": _repeated,
    "UpsampleDarknet": _repeated,
    "ResizeNearestNeighbor": _resized,
    "ResizeBilinear": _resized,
    "DepthwiseConvolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Local": _local,
    "LabelSpecificAdd": _margin,
    "AccuracyRegression": lambda case, bottoms, params: np.asarray(
        sum(float(np.abs(x - t).sum()) for x, t in zip(*bottoms, strict=True)) / 2 / len(bottoms[0])
    ),
}
BY_CHANCE = {"SeLUDropout", "SeLuDropout", "SpatialDropout", "ScaleFilter"}


@pytest.mark.parametrize("case", [case for case in CASES if case.type not in BY_CHANCE], ids=lambda case: case.id)
def test_equals_its_definition(case: LayerCase) -> None:
    layer, bottom, top = case.build(np.float64)
    layer.forward(bottom, top)
    expected = REFERENCES[case.type](
        case, [blob.data.copy() for blob in bottom], [blob.data.copy() for blob in layer.blobs]
    )
    assert top[0].data.shape == expected.shape
    np.testing.assert_allclose(top[0].data, expected, rtol=1e-6, atol=1e-6)


def test_relu6_has_no_gradient_at_its_ends() -> None:
    """As its Caffes have it: at 0 and 6 themselves nothing passes."""
    layer, bottom, top = LayerCase("ReLU6", bottoms=(np.array([[-1, 0, 1e-30, 3, 6, 7]]),)).build()
    layer.forward(bottom, top)
    top[0].diff[...] = 2
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].diff, [[0, 0, 2, 2, 0, 0]])


def test_length_of_a_normalized_pixel_may_have_its_epsilon_outside_of_the_root() -> None:
    options = "norm_param { across_spatial: false eps: 0.5 add_eps_before_sqrt: false }"
    layer, bottom, top = LayerCase("Normalize", options, (np.full((1, 4, 1, 1), 2.0),)).build()
    layer.blobs[0].data[...] = 1
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, 2 / 4.5, rtol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case.phase == "TRAIN" and case.type in BY_CHANCE], ids=str)
def test_whole_channels_or_values_are_changed_by_chance_and_gradients_alike(case: LayerCase) -> None:
    images = np.ones((40, 50, 2, 3))
    layer, bottom, top = case.build(np.float64, [images])
    layer.forward(bottom, top)
    y = top[0].data.copy()
    top[0].diff[...] = 1
    layer.backward(top, [True], bottom)
    if case.type == "SeLUDropout":
        # Mean 0 and variance 1 are kept, and a value that is dropped gets no gradient.
        bottom[0].data[...] = np.random.default_rng(0).standard_normal(images.shape)
        layer.forward(bottom, top)
        assert abs(top[0].data.mean()) < 0.03
        assert abs(top[0].data.var() - 1) < 0.05
        assert len(np.unique(bottom[0].diff)) == 2
        assert abs((bottom[0].diff == 0).mean() - 0.1) < 0.02
        return
    np.testing.assert_array_equal(bottom[0].diff, y)
    assert (y == y[:, :, :1, :1]).all()
    values = y[:, :, 0, 0]
    if case.type == "SpatialDropout":
        assert set(np.unique(values)) == {0.0, 2.0}
        assert abs(values.mean() - 1) < 0.1
    else:
        assert 0.5 <= values.min() < 0.55 < 1.9 < values.max() < 2


@pytest.mark.parametrize(
    ("type_", "options", "bottoms", "words"),
    [
        ("ShuffleChannel", "shuffle_channel_param { group: 4 }", ((1, 6, 2, 2),), "multiple of 4"),
        ("Reorg", "reorg_param { stride: 0 }", ((1, 4, 2, 2),), "the stride must be 1 or more"),
        ("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 2 paddings: 0 }", ((1, 4, 2, 2),), "two paddings"),
        ("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 3 paddings: [0, 1] }", ((1, 4, 2),), "multiples"),
        ("BatchToSpaceND", "batch_to_space_nd_param { block_shape: 3 crops: [0, 1] }", ((4, 4, 2),), "a multiple of 3"),
        ("Normalize", 'normalize_param { normalize_type: "L1" }', ((1, 4, 2, 2),), "normalize_type L2"),
        ("SpatialPyramidPooling", "", ((1, 4, 2, 2),), "needs spatial_bin"),
        ("Reorg", "reorg_param { stride: 2 }", ((1, 4, 3, 2),), "the height must be a multiple of 2"),
        ("Axpy", "", ((1, 4, 2, 2), (1, 4, 2, 2), (1, 4, 2, 2)), r"\(N, C, 1, 1\)"),
        ("Squeeze", "squeeze_param { axis: 1 }", ((1, 4),), "extent 1"),
        ("Gather", "gather_param { indices: 3 shape: 1 axis: 1 }", ((1, 3),), "less than 3"),
        ("Gather", "gather_param { indices: 0 indices: 1 shape: 3 }", ((2, 3),), "that of the indices"),
        ("Mul", "", ((2, 3), (2, 2)), "extents must be equal"),
        ("Pad", "pad_param { paddings: 1 }", ((2, 3),), "two numbers for each axis"),
        ("Padding", "padding_param { pad_beg: -3 }", ((1, 1, 3, 3),), "must leave something"),
        ("SimpleCrop", "", ((1, 1, 3, 3), (1, 1, 4, 2)), "at least as large"),
        ("UpsampleDarknet", "upsample_darknet_param { stride: 0 }", ((1, 1, 3, 3),), "1 or more"),
        ("ResizeNearestNeighbor", "resize_nearest_neighbor_param { output_height: 0 }", ((1, 3, 3, 1),), "a pixel"),
        ("Local", "local_param { num_output: 2 }", ((1, 1, 3, 3),), "kernel_size"),
        ("ScaleFilter", "", ((1, 1, 3, 3),), "min_scale above 0"),
        ("LabelSpecificAdd", "label_specific_add_param { bias_base: 1 }", ((1, 3), (1,)), "bias_base"),
    ],
)
def test_what_cannot_be_is_told(type_: str, options: str, bottoms: tuple[tuple[int, ...], ...], words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase(type_, options, bottoms).build()
