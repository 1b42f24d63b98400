"""Functions on arrays: the bits of the layers, gradients by central differences, arrays of others, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import segcaffe
from segcaffe import functional as F  # noqa: N812
from segcaffe.errors import ShapeError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.recipes.cascade import cascade

Array = np.ndarray[Any, Any]
_ALIAS = """
layer { name: "y" type: "Power" bottom: "two_halfsize_sharp_normalized" top: "y" }"""
WINDOW = "convolution_param { kernel_size: 3 pad: 2 dilation: 2 }"
FILTERS = 'num_output: 6 group: 2 weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def _net(shapes: dict[str, tuple[int, ...]], layers: str) -> segcaffe.Net:
    """A net of inputs and the given layers, with values in its inputs; its output is "y"."""
    text = "force_backward: true\n"
    for name, shape in shapes.items():
        dims = " ".join(f"dim: {size}" for size in shape)
        text += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
    net = segcaffe.Net(parse(text + layers, caffe_pb2.NetParameter()), segcaffe.TRAIN)
    for seed, name in enumerate(shapes):
        net.blobs[name].data[...] = _random(*shapes[name], seed=seed)
    net.forward()
    net.blobs["y"].diff[...] = _random(*net.blobs["y"].shape, seed=9)
    net.clear_param_diffs()
    net.backward()
    return net


def _same(found: Array, blob: Array) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, blob)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distances_are_those_of_the_layer(norm: str) -> None:
    options = f"im2dist_param {{ norm: {norm.upper()} }} {WINDOW}"
    net = _net({"e": (2, 5, 7, 6)}, f'layer {{ name: "y" type: "Im2dist" bottom: "e" top: "y" {options} }}')
    e, y = net.blobs["e"], net.blobs["y"]
    _same(F.local_distance(e.data, 3, 2, norm), y.data)  # type: ignore[arg-type]
    _same(F.local_distance_backward(y.diff, e.data, 3, 2, norm), e.diff)  # type: ignore[arg-type]


def test_parity_is_that_of_the_layer() -> None:
    layers = f'layer {{ name: "y" type: "Im2parity" bottom: "e" top: "y" {WINDOW} propagate_down: false }}'
    text = 'layer { name: "e" type: "Input" top: "e" input_param { shape { dim: 2 dim: 1 dim: 7 dim: 6 } } }' + layers
    net = segcaffe.Net(parse(text, caffe_pb2.NetParameter()), segcaffe.TEST)
    labels = np.floor(3 * np.random.RandomState(1).rand(2, 1, 7, 6)).astype(np.float32)
    net.blobs["e"].data[...] = labels
    net.forward()
    _same(F.local_parity(labels, 3, 2), net.blobs["y"].data)


def test_masked_convolution_is_that_of_the_fused_layers() -> None:
    layers = f"""
    layer {{ name: "d" type: "Im2dist" bottom: "e" top: "d" {WINDOW} }}
    layer {{ name: "m" type: "Exp" bottom: "d" top: "m" exp_param {{ scale: -1 }} }}
    layer {{ name: "c" type: "Im2col" bottom: "x" top: "c" {WINDOW} }}
    layer {{ name: "t" type: "Tile" bottom: "m" top: "t" tile_param {{ axis: 1 tiles: 4 }} }}
    layer {{ name: "p" type: "Eltwise" bottom: "c" bottom: "t" top: "p" eltwise_param {{ operation: PROD }} }}
    layer {{ name: "y" type: "Convolution" bottom: "p" top: "y"
      convolution_param {{ bottom_is_im2col: true kernel_size: 3 {FILTERS} }} }}"""
    net = _net({"x": (2, 4, 7, 6), "e": (2, 2, 7, 6)}, layers)
    assert "MaskedConvolution" in {type(layer).__name__ for layer in net.layer_list}
    x, m, y = (net.blobs[name] for name in "xmy")
    weight, bias = net.params["y"]
    given = x.data, m.data, weight.data.reshape(6, 2, 3, 3), bias.data, 1, 2, 2, 2
    _same(F.masked_conv2d(*given), y.data)
    grads = F.masked_conv2d_backward(y.diff, *given)
    for found, wanted in zip(grads, (x.diff, m.diff, weight.diff.reshape(6, 2, 3, 3), bias.diff), strict=True):
        _same(found, wanted)


def test_normalised_convolution_is_that_of_the_layer() -> None:
    options = f"""
    norm_conv_param {{ scale_term: true remove_bounds: true scale_filler {{ type: "constant" value: 0.25 }} }}
    convolution_param {{ kernel_size: 3 pad: 2 dilation: 2 {FILTERS} }}"""
    layer = f'layer {{ name: "y" type: "NormConv" bottom: "x" bottom: "e" top: "y" {options} }}'
    net = _net({"x": (2, 4, 7, 6), "e": (2, 5, 7, 6)}, layer)
    x, e, y = (net.blobs[name] for name in "xey")
    weight, bias, scale = net.params["y"]
    given = x.data, e.data, weight.data, bias.data, 0.25, 1, 2, 2, 2
    _same(F.norm_conv2d(*given, remove_bounds=True), y.data)
    grads = F.norm_conv2d_backward(y.diff, *given, remove_bounds=True)
    for found, wanted in zip(grads[:4], (x.diff, e.diff, weight.diff, bias.diff), strict=True):
        _same(found, wanted)
    np.testing.assert_array_equal(np.float32(grads.scale), scale.diff[0])


def test_permutohedral_inference_is_that_of_the_layer() -> None:
    options = "multi_stage_meanfield_param { num_iterations: 3 theta_alpha: 80 theta_beta: 13 theta_gamma: 3 }"
    bottoms = 'bottom: "u" bottom: "q" bottom: "i"'
    layer = f'layer {{ name: "y" type: "MultiStageMeanfield" {bottoms} top: "y" {options} }}'
    net = _net({"u": (2, 3, 7, 6), "q": (2, 3, 7, 6), "i": (2, 3, 7, 6)}, layer)
    u, image, y = net.blobs["u"], net.blobs["i"], net.blobs["y"]
    net.blobs["q"].data[...] = u.data
    net.forward()
    net.clear_param_diffs()
    net.backward()
    given = u.data, image.data, 1.0, 1.0
    _same(F.permutohedral_meanfield(*given, iterations=3), y.data)
    grads = F.permutohedral_meanfield_backward(y.diff, *given, iterations=3)
    for found, blob in zip(grads[1:], net.params["y"], strict=True):
        _same(found, blob.diff[0, 0])
    _same(grads.unary, u.diff + net.blobs["q"].diff)


def test_domain_transform_is_that_of_the_layer() -> None:
    options = "domain_transform_param { spatial_sigma: 50 range_sigma: 5 num_iter: 3 }"
    bottoms = 'bottom: "v" bottom: "e" bottom: "s"'
    layer = f'layer {{ name: "y" type: "DomainTransform" {bottoms} top: "y" {options} propagate_down: true '
    text = layer + "propagate_down: true propagate_down: false }"
    sizes = 'layer { name: "s" type: "DummyData" top: "s" dummy_data_param { shape { dim: 2 dim: 2 dim: 1 dim: 1 } '
    sizes += 'data_filler { type: "constant" value: 7 } } }'
    net = _net({"v": (2, 3, 7, 7), "e": (2, 1, 7, 7)}, sizes + text)
    v, e, y = (net.blobs[name] for name in "vey")
    _same(F.domain_transform(v.data, e.data), y.data)
    grads = F.domain_transform_backward(y.diff, v.data, e.data)
    _same(grads.values, v.diff)
    _same(grads.edges, e.diff)


def test_the_cascade_is_that_of_the_published_layers() -> None:
    text = "\n".join(cascade("u", "emb2", "3"))
    net = _net({"emb2": (2, 4, 11, 12), "u": (2, 3, 11, 12)}, text + _ALIAS)
    u, e, y = net.blobs["u"], net.blobs["emb2"], net.blobs["y"]
    np.testing.assert_allclose(F.bilateral_cascade(u.data, e.data), y.data, rtol=2e-5, atol=1e-6)


def _differences(function: Callable[[], Array], array: Array, grad: Array) -> Array:
    """The gradient of Σ grad · function() by ``array``, by central differences."""
    found, step = np.empty_like(array), 1e-5
    for place in np.ndindex(array.shape):
        kept = array[place]
        sums = []
        for moved in (kept + step, kept - step):
            array[place] = moved
            sums.append(float((function() * grad).sum()))
        array[place] = kept
        found[place] = (sums[0] - sums[1]) / (2 * step)
    return found


def _check(function: Callable[[], Array], backward: Callable[[Array], Any], *arrays: Array) -> None:
    grad = _random(*function().shape, seed=9)
    found = backward(grad)
    for array, one in zip(arrays, found if isinstance(found, tuple) else (found,), strict=True):
        np.testing.assert_allclose(
            one, _differences(function, array, grad).reshape(np.shape(one)), rtol=1e-6, atol=1e-7
        )


def test_gradients() -> None:
    x, e, w, b = _random(2, 4, 4, 5), _random(2, 3, 4, 5, seed=1), _random(6, 2, 3, 3, seed=2), _random(6, seed=3)
    _check(lambda: F.local_distance(e, 3, 1, "l1"), lambda g: F.local_distance_backward(g, e, 3, 1, "l1"), e)
    _check(lambda: F.local_distance(e, 3), lambda g: F.local_distance_backward(g, e, 3), e)
    m = np.exp(-F.local_distance(e, 3))
    _check(
        lambda: F.masked_conv2d(x, m, w, b, padding=1, groups=2),
        lambda g: F.masked_conv2d_backward(g, x, m, w, b, padding=1, groups=2),
        *(x, m, w, b),
    )
    scale = np.array([0.7])
    _check(
        lambda: F.norm_conv2d(x, e, w, b, scale[0], padding=1, groups=2),
        lambda g: F.norm_conv2d_backward(g, x, e, w, b, scale[0], padding=1, groups=2),
        *(x, e, w, b, scale),
    )


def test_meanfield_and_its_gradients() -> None:
    unary, e = _random(2, 3, 4, 5), _random(2, 2, 4, 5, seed=1)
    weight, compat = _random(3, 3, seed=2), _random(3, 3, seed=3)
    _check(
        lambda: F.local_meanfield(unary, e, weight, compat, kernel_size=3, scale=0.5),
        lambda g: F.local_meanfield_backward(g, unary, e, weight, compat, kernel_size=3, scale=0.5),
        *(unary, e, weight, compat),
    )


def test_gradients_of_cascade_lattice_and_domain_transform() -> None:
    scores, guide, edges = _random(1, 3, 4, 5), _random(1, 3, 4, 5, seed=1), np.abs(_random(1, 1, 4, 5, seed=2))
    spatial, bilateral, compat = (_random(3, 3, seed=seed) for seed in (3, 4, 5))
    _check(
        lambda: F.bilateral_cascade(scores, guide, kernel_size=3, scale=0.7),
        lambda g: F.bilateral_cascade_backward(g, scores, guide, kernel_size=3, scale=0.7),
        *(scores, guide),
    )
    matrices = spatial, bilateral, compat
    _check(
        lambda: F.permutohedral_meanfield(scores, guide, *matrices, iterations=2),
        lambda g: F.permutohedral_meanfield_backward(g, scores, guide, *matrices, iterations=2),
        *(scores, *matrices),
    )
    _check(
        lambda: F.domain_transform(scores, edges),
        lambda g: F.domain_transform_backward(g, scores, edges),
        *(scores, edges),
    )


def test_meanfield_is_that_of_whole_matrices() -> None:
    unary, e = _random(1, 3, 4, 5), _random(1, 2, 4, 5, seed=1)
    scores, guide, places = unary[0].reshape(3, -1), e[0].reshape(2, -1), np.stack(np.mgrid[:4, :5]).reshape(2, -1)
    steps = np.abs(places[:, :, None] - places[:, None]).max(0)
    distances = 0.5 * ((guide[:, :, None] - guide[:, None]) ** 2).sum(0)
    weights = np.where((steps == 1), np.exp(-0.5 * distances), 0)
    weights /= weights.sum(1, keepdims=True)
    q = scores
    for _ in range(2):
        q = scores + (np.exp(q) / np.exp(q).sum(0)) @ weights.T
    found = F.local_meanfield(unary, e, kernel_size=3, scale=0.5, iterations=2)
    np.testing.assert_allclose(found[0].reshape(3, -1), q, rtol=1e-10)


class _Shares:
    """An array of a library that shares with NumPy by DLPack alone."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def test_arrays_of_other_libraries_and_of_any_strides() -> None:
    e = _random(1, 2, 4, 4)
    np.testing.assert_array_equal(F.local_distance(_Shares(e), 3), F.local_distance(e, 3))
    turned = e.swapaxes(2, 3)
    np.testing.assert_array_equal(F.local_distance(turned, 3), F.local_distance(turned.copy(), 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_])
def test_labels_and_images_may_be_whole_numbers(dtype: Any) -> None:
    whole = (_random(1, 3, 5, 6) > 0).astype(dtype)
    found = F.local_parity(whole[:, :1], np.int64(3))
    np.testing.assert_array_equal(found, F.local_parity(whole[:, :1].astype(np.float32), 3))
    assert found.dtype == np.float32
    unary = _random(1, 2, 5, 6)
    np.testing.assert_array_equal(
        F.permutohedral_meanfield(unary, whole), F.permutohedral_meanfield(unary, whole.astype(float))
    )


class _Elsewhere:
    """An array whose memory cannot be shared."""

    dtype = "bfloat16"

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("no such dtype")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_an_array_that_cannot_be_shared_is_told_with_its_dtype() -> None:
    with pytest.raises(
        ShapeError, match=r"cannot share its memory \(no such dtype\)\. Received: _Elsewhere of bfloat16"
    ):
        F.local_distance(_Elsewhere(), 3)


def test_what_is_refused() -> None:
    x, e = np.zeros((1, 2, 4, 4), np.float32), np.zeros((1, 3, 4, 4), np.float32)
    w, m = np.zeros((5, 2, 3, 3), np.float32), np.zeros((1, 9, 4, 4), np.float32)
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: F.local_distance(e, 4), 'padding "same" needs odd sizes'),
        (lambda: F.local_distance(e, 3, norm="max"), 'norm is "l1" or "l2"'),  # type: ignore[arg-type]
        (lambda: F.local_distance(e.astype(int), 3), "float32, or all float64"),
        (lambda: F.local_distance("e", 3), "array of real numbers"),
        (lambda: F.local_distance(e, (3, 3, 3)), "kernel_size is a whole number"),
        (lambda: F.local_distance(e[0], 3), r"must have shape \(N, channels, height, width\)"),
        (lambda: F.masked_conv2d(x, m, w), r"mask must have shape \(1, 9, 2, 2\)"),
        (lambda: F.masked_conv2d(x, m, w, padding=1, groups=2), "groups must divide M"),
        (lambda: F.masked_conv2d(x, m, w, np.zeros(4, np.float32), padding=1), "bias must have shape"),
        (lambda: F.masked_conv2d(x, m, w.astype(float), padding=1), "x float32, mask float32, weight float64"),
        (lambda: F.norm_conv2d(x, e[:, :, :3], w, padding=1), "one batch size, height and width"),
        (lambda: F.local_meanfield(x, e, np.zeros((3, 3), np.float32)), r"weight must have shape \(2, 2\)"),
        (lambda: F.bilateral_cascade(x, e, rounds=0), "rounds must be a whole number, 1 or more"),
        (lambda: F.bilateral_cascade(x, e[:, :, :, :3]), "one batch size, height and width"),
        (lambda: F.domain_transform(x, e), r"edges must have shape \(N, 1, H, W\)"),
        (lambda: F.domain_transform(x, e[:, :1], range_sigma=0), "range_sigma must be positive"),
        (lambda: F.permutohedral_meanfield(x, e, compat=m), r"compat must have shape \(2, 2\)"),
        (lambda: F.permutohedral_meanfield(x, e, theta_beta=-1), "theta_beta must be positive"),
        (lambda: F.local_meanfield(x, e, iterations=0), "iterations must be a whole number, 1 or more"),
    ]
    for call, sentence in refused:
        with pytest.raises(ShapeError, match=sentence):
            call()


def test_meanfields_of_one_size_share_memory_in_turn_and_answer_alike() -> None:
    first, second = ((_random(1, 3, 6, 20, seed=s), _random(1, 4, 6, 20, seed=s + 1)) for s in (0, 5))
    wanted = [F.local_meanfield(*first, kernel_size=3), F.local_meanfield(*second, kernel_size=3)]
    grads = F.local_meanfield_backward(wanted[0], *first, kernel_size=3)
    keep = F.Kept()
    np.testing.assert_array_equal(F.local_meanfield(*first, kernel_size=3, keep=keep), wanted[0])
    # What is kept belongs to the first call, whatever comes between.
    np.testing.assert_array_equal(F.local_meanfield(*second, kernel_size=3), wanted[1])
    for kept in (keep, keep, None):
        found = F.local_meanfield_backward(wanted[0], *first, kernel_size=3, keep=kept)
        for a, b in zip(found, grads, strict=True):
            np.testing.assert_array_equal(a, b)
