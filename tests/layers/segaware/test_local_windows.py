"""Im2dist, Im2parity and DistLoss against loops over pixels, and their errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.kernels.im2dist import FAR
from segcaffe.testing import LayerCase
from segcaffe.threads import parallel

KERNELS = [(3, 3), (2, 2), (1, 4), (5, 3)]
STRIDES = [(1, 1), (2, 2), (1, 3)]
PADS = [(0, 0), (1, 1), (5, 3)]
DILATIONS = [(1, 1), (2, 3)]
SIZE = (7, 9)
GEOMETRIES = [
    geometry
    for geometry in itertools.product(KERNELS, STRIDES, PADS, DILATIONS)
    if all(n + 2 * p > d * (k - 1) for n, k, p, d in zip(SIZE, geometry[0], geometry[2], geometry[3], strict=True))
]
# Large windows around every pixel.
GEOMETRIES += [((5, 5), (1, 1), (2, 2), (1, 1)), ((5, 7), (1, 1), (4, 9), (2, 3))]


def window_text(kernel, stride, pad, dilation) -> str:
    options = {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1]}
    options |= {"pad_h": pad[0], "pad_w": pad[1]}
    fields = " ".join(f"{name}: {value}" for name, value in options.items())
    return f"convolution_param {{ {fields} dilation: {dilation[0]} dilation: {dilation[1]} }}"


def pairs(geometry, size=SIZE):
    """Each (tap, window, pixel of the centre, pixel of the tap)."""
    kernel, stride, pad, dilation = geometry
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, *geometry, strict=True)]
    for window in itertools.product(*map(range, counts)):
        start = [w * s - p for w, s, p in zip(window, stride, pad, strict=True)]
        center = tuple(a + k // 2 * d for a, k, d in zip(start, kernel, dilation, strict=True))
        for i, j in itertools.product(*map(range, kernel)):
            neighbor = (start[0] + i * dilation[0], start[1] + j * dilation[1])
            yield i * kernel[1] + j, window, center, neighbor


def inside(pixel, size=SIZE) -> bool:
    return all(0 <= x < n for x, n in zip(pixel, size, strict=True))


def run(case: LayerCase, inputs=None, top_diff=None):
    layer, bottom, top = case.build(np.float64, inputs)
    layer.forward(bottom, top)
    if top_diff is None:
        return top[0].data
    top[0].diff[...] = top_diff
    bottom[0].diff[...] = np.nan
    layer.backward(top, [True, False], bottom)
    return top[0].data, bottom[0].diff


@pytest.mark.parametrize("remove", ["", "remove_center: true", "remove_bounds: true"])
@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2dist_is_the_sum_over_channels_for_each_pair(geometry, norm: str, remove: str) -> None:
    options = window_text(*geometry) + f"im2dist_param {{ norm: {norm} {remove} }}"
    rng = np.random.default_rng(0)
    image = rng.integers(-2, 3, (2, 3, *SIZE)).astype(float)
    case = LayerCase("Im2dist", options, (image.shape,))
    shape = run(case, [image]).shape
    top_diff = rng.standard_normal(shape)
    dist, image_grad = run(case, [image], top_diff)
    expected, gradient = np.zeros(shape), np.zeros(image.shape)
    for tap, window, center, neighbor in pairs(geometry):
        here = (slice(None), tap, *window)
        if not inside(center):
            continue
        if center == neighbor:
            expected[here] = FAR if "center" in remove else 0
        elif not inside(neighbor):
            expected[here] = FAR if "bounds" in remove else 0
        else:
            d = image[(..., *center)] - image[(..., *neighbor)]
            expected[here] = np.abs(d).sum(1) if norm == "L1" else (d * d).sum(1) / 2
            flow = (np.sign(d) if norm == "L1" else d) * top_diff[here][:, None]
            gradient[(..., *center)] += flow
            gradient[(..., *neighbor)] -= flow
    np.testing.assert_allclose(dist, expected, rtol=1e-12)
    np.testing.assert_allclose(image_grad, gradient, atol=1e-12)


def test_im2dist_does_not_depend_on_the_number_of_threads() -> None:
    case = LayerCase("Im2dist", "convolution_param { kernel_size: 5 pad: 4 dilation: 2 }", ((2, 8, 40, 50),))
    top_diff = np.random.default_rng(0).standard_normal((2, 25, 40, 50))
    before = parallel.num_threads()
    results = []
    for threads in (1, 3):
        parallel.set_num_threads(threads)
        results.append(run(case, None, top_diff))
    parallel.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_im2dist_with_another_channel_axis() -> None:
    window = "kernel_size: 3 pad: 1"
    image = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6))
    deep = run(LayerCase("Im2dist", f"convolution_param {{ {window} axis: 2 }}", (image.shape,)), [image])
    flat = run(LayerCase("Im2dist", f"convolution_param {{ {window} }}", ((6, 4, 5, 6),)), [image.reshape(6, 4, 5, 6)])
    np.testing.assert_array_equal(deep, flat.reshape(2, 3, 9, 5, 6))


@pytest.mark.parametrize("ignore", [None, 255, 0])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2parity_compares_labels(geometry, ignore: int | None) -> None:
    option = "" if ignore is None else f"im2parity_param {{ ignore_label: {ignore} }}"
    label = np.random.default_rng(0).choice([0, 1, 2, 255], (2, 2, *SIZE)).astype(float)
    parity = run(LayerCase("Im2parity", window_text(*geometry) + option, (label.shape,)), [label])
    expected = np.full(parity.shape, ignore or 0, float)
    for tap, window, center, neighbor in pairs(geometry):
        for n in range(2 if inside(center) else 0):
            own = label[(n, 1, *center)]
            other = label[(n, 1, *neighbor)] if inside(neighbor) else 0
            expected[(n, tap, *window)] = ignore if ignore in (own, other) else own == other
    np.testing.assert_array_equal(parity, expected)


@pytest.mark.parametrize("ignore", [None, 255, 1])
def test_dist_loss_and_its_released_gradient(ignore: int | None) -> None:
    option = "" if ignore is None else f"ignore_label: {ignore}"
    rng = np.random.default_rng(0)
    dist = 3 * rng.random((2, 9, 60, 70))
    parity = rng.choice([0, 1, 255], dist.shape)
    case = LayerCase("DistLoss", f"dist_loss_param {{ alpha: 0.5 beta: 2 {option} }}", (dist.shape, parity.shape))
    loss, gradient = run(case, [dist, parity], 3.0)
    total, expected = 0.0, np.zeros(dist.size)
    for i, (d, p) in enumerate(zip(dist.flat, parity.flat, strict=True)):
        if p != ignore:
            hinge = max(d - 0.5, 0) if p else max(2 - d, 0)
            total += hinge
            expected[i] = 3 * (hinge if p else -hinge) / dist.size
    assert math.isclose(loss, total / dist.size, rel_tol=1e-9)
    np.testing.assert_allclose(gradient, expected.reshape(dist.shape), atol=1e-15)


def test_dist_loss_shows_a_distance_that_is_not_a_number() -> None:
    dist = np.ones((1, 9, 4, 4))
    dist[0, 3, 2, 2] = np.nan
    case = LayerCase("DistLoss", "dist_loss_param { alpha: 0.5 beta: 2 }", (dist.shape, dist.shape))
    assert np.isnan(run(case, [dist, np.ones(dist.shape)]))


@pytest.mark.parametrize(
    ("type_name", "options", "bottoms", "message"),
    [
        ("Im2dist", "convolution_param { pad: 1 }", ((1, 2, 4, 4),), "kernel_size must be given"),
        ("Im2dist", "convolution_param { kernel_size: 3 }", ((1, 2, 2, 4),), "must fit into the padded input"),
        ("Im2dist", "convolution_param { kernel_size: 3 }", ((2, 4, 4),), "two spatial axes"),
        ("Im2dist", "convolution_param { kernel_size: 3 axis: 4 }", ((1, 2, 4, 4),), "axis must lie in"),
        ("Im2dist", "convolution_param { kernel_size: 3 stride: 0 }", ((1, 2, 4, 4),), "stride must be 1 or more"),
        ("Im2parity", "", ((1, 1, 4, 4),), "kernel_size must be given"),
        ("Im2parity", "convolution_param { kernel_size: 5 pad: 0 }", ((1, 1, 4, 4),), "must fit into the padded input"),
        ("Im2parity", "convolution_param { kernel_size: 3 }", ((1, 1, 1, 4, 4),), "two spatial axes"),
        ("DistLoss", "dist_loss_param { beta: 2 }", ((1, 9, 4, 4),) * 2, "must give alpha"),
        ("DistLoss", "dist_loss_param { alpha: 1 }", ((1, 9, 4, 4),) * 2, "must give beta"),
        ("DistLoss", "dist_loss_param { alpha: 2 beta: 2 }", ((1, 9, 4, 4),) * 2, "0 < alpha < beta"),
        ("DistLoss", "dist_loss_param { alpha: 0 beta: 2 }", ((1, 9, 4, 4),) * 2, "0 < alpha < beta"),
        ("DistLoss", "dist_loss_param { alpha: 1 beta: 2 }", ((1, 9, 4, 4), (1, 9, 4, 5)), "the same shape"),
        ("DistLoss", "dist_loss_param { alpha: 1 beta: 2 }", ((1, 9, 4, 4),), "takes exactly 2 bottoms"),
    ],
)
def test_options_and_shapes_that_break_a_rule(type_name: str, options: str, bottoms, message: str) -> None:
    with pytest.raises(SegcaffeError, match=message) as error:
        LayerCase(type_name, options, bottoms).build()
    assert f'layer "layer" ({type_name})' in str(error.value)
    assert "Received:" in str(error.value)
