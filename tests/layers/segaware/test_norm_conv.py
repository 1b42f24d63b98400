"""NormConv: parameters, the missing scale, and options that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe import device
from segcaffe.errors import ShapeError, WeightsError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase

BOTTOMS = ((1, 4, 6, 7), (1, 3, 6, 7))


def test_parameters_and_their_fillers() -> None:
    options = (
        "convolution_param { num_output: 6 group: 2 kernel_h: 3 kernel_w: 5 pad: 2 weight_filler { value: 2 } "
        "bias_filler { value: 3 } } norm_conv_param { scale_filler { value: 4 } }"
    )
    case = LayerCase("NormConv", options, bottoms=BOTTOMS)
    layer, bottom, top = case.build()
    assert [blob.shape for blob in layer.blobs] == [(6, 2, 3, 5), (6,), (1,)]
    layer.blobs.clear()
    layer.setup(bottom, top)
    assert [float(blob.data.flat[0]) for blob in layer.blobs] == [2, 3, 4]
    assert top[0].shape == (1, 6, 8, 7)


@pytest.mark.parametrize(("norm", "scale_term", "sign"), [("L2", "true", -1), ("L2", "false", 1), ("L1", "true", -1)])
def test_one_row_by_hand(norm: str, scale_term: str, sign: int) -> None:
    """Without a scale the weights rise with distance, as in the original."""
    x, e = np.array([1.0, 2.0, 5.0]), np.array([0.5, 1.0, -1.0])
    d = np.abs(e - 1.0)
    logits = sign * (d if norm == "L1" else 0.5 * d**2)
    expected = (np.exp(logits) * x).sum() / np.exp(logits).sum()
    options = (
        "convolution_param { num_output: 1 kernel_h: 1 kernel_w: 3 bias_term: false weight_filler { value: 1 } } "
        f"norm_conv_param {{ norm: {norm} scale_term: {scale_term} }}"
    )
    case = LayerCase(
        "NormConv",
        options,
        bottoms=(x.reshape(1, 1, 1, 3), e.reshape(1, 1, 1, 3)),
        params={0: np.ones((1, 1, 1, 3)), 1: np.ones(1)},
    )
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data.ravel(), [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "bottoms", "rule"),
    [
        ("num_output: 4", BOTTOMS, "kernel_size must be given"),
        ("num_output: 0 kernel_size: 3", BOTTOMS, "num_output must be 1 or more"),
        ("num_output: 4 kernel_size: 3 group: 3", BOTTOMS, "group must divide"),
        ("num_output: 3 kernel_size: 3 group: 2", BOTTOMS, "group must divide"),
        ("num_output: 4 kernel_size: 3 stride: 0", BOTTOMS, "stride must be 1 or more"),
        ("num_output: 4 kernel_size: 9", BOTTOMS, "must fit into the padded input"),
        ("num_output: 4 kernel_size: 3 bottom_is_im2col: true", BOTTOMS, "bottom_is_im2col"),
        ("num_output: 4 kernel_size: 3 axis: 2", BOTTOMS, "channels must be axis 1"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6), (1, 3, 6, 7)), "4 axes"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6, 7), (1, 3, 6, 8)), "same batch size, height and width"),
        ("num_output: 4 kernel_size: 3", ((1, 4, 6, 7), (2, 3, 6, 7)), "same batch size, height and width"),
    ],
)
def test_options_that_cannot_be(options: str, bottoms: tuple[tuple[int, ...], ...], rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        LayerCase("NormConv", f"convolution_param {{ {options} }}", bottoms=bottoms).build()


def test_channels_may_not_change() -> None:
    layer, bottom, top = LayerCase("NormConv", "convolution_param { num_output: 4 kernel_size: 3 }", BOTTOMS).build()
    bottom[0].reshape(1, 5, 6, 7)
    with pytest.raises(ShapeError, match=r"layer \"layer\" \(NormConv\): the values must have shape \(N, 4, H, W\)"):
        layer.reshape(bottom, top)


CONVOLUTION = "num_output: 5 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } bias_filler { value: 0.5 }"
INPUTS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 9 dim: 8 } } }
layer { name: "e" type: "Input" top: "e" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
"""


def _net(layer: str) -> Net:
    net = Net(parse(INPUTS + layer, caffe_pb2.NetParameter()), caffe_pb2.TEST)
    rng = np.random.default_rng(0)
    net.blobs["x"].data[...] = rng.normal(size=net.blobs["x"].shape)
    net.blobs["e"].data[...] = 1
    return net


def _norm_conv(options: str) -> Net:
    return _net(
        f'layer {{ name: "y" type: "NormConv" bottom: "x" bottom: "e" top: "y" convolution_param {{ {CONVOLUTION} }} '
        f"norm_conv_param {{ remove_bounds: false {options} }} }}"
    )


def _convolution(path: Path) -> Net:
    body = f'layer {{ name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param {{ {CONVOLUTION} }} }}'
    net = _net(body + 'layer { name: "s" type: "Silence" bottom: "e" }')
    net.save(path)
    return net


def test_scaled_by_taps_it_is_the_convolution_where_embeddings_are_alike(tmp_path: Path) -> None:
    """With the convolution's own weights; pixels outside have another embedding, so the border is left out."""
    path = tmp_path / "conv.caffemodel"
    expected = _convolution(path).forward()["y"]
    net = _norm_conv("scale_by_taps: true scale_filler { value: 2 }")
    net.copy_from(path)
    inside = np.s_[:, :, 1:-1, 1:-1]
    np.testing.assert_allclose(net.forward()["y"][inside], expected[inside], rtol=1e-5, atol=1e-5)
    assert float(net.params["y"][2].data[0]) == 2


def test_weights_of_a_convolution_are_told_to_be_too_small(tmp_path: Path) -> None:
    path = tmp_path / "conv.caffemodel"
    expected = _convolution(path).forward()["y"]
    net = _norm_conv("")
    with pytest.warns(UserWarning, match=r"has no scale .* 9 times smaller .*scale_by_taps: true"):
        net.copy_from(path)
    found = net.forward()["y"][:, :, 1:-1, 1:-1] - 0.5
    np.testing.assert_allclose(9 * found, expected[:, :, 1:-1, 1:-1] - 0.5, rtol=1e-4, atol=1e-5)


def test_other_numbers_of_weights_are_refused(tmp_path: Path) -> None:
    _convolution(tmp_path / "conv.caffemodel")
    net = _norm_conv("scale_term: true")
    net.save(tmp_path / "norm.caffemodel")
    with pytest.raises(WeightsError, match="has 2 parameters, the file 3"):
        _convolution(tmp_path / "conv.caffemodel").copy_from(tmp_path / "norm.caffemodel")


def _scratch(options: str) -> Net:
    """Three layers and a loss, to tell the two halves of noisy images apart."""
    layers = INPUTS.replace("dim: 4", "dim: 1")
    layers += 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 1 dim: 9 dim: 8 } } }'
    bottom = "x"
    for name, outputs in (("a", 8), ("b", 8), ("c", 2)):
        filters = f"num_output: {outputs} kernel_size: 3 pad: 1 weight_filler {{ type: 'xavier' }}"
        layers += f"""
        layer {{
          name: "{name}" type: "NormConv" bottom: "{bottom}" bottom: "e" top: "{name}"
          convolution_param {{ {filters} }} norm_conv_param {{ {options} }}
        }}
        """
        layers += f'layer {{ name: "r{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}' if name != "c" else ""
        bottom = name
    layers += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "t" top: "loss" }'
    device.set_random_seed(3)
    return Net(parse(layers, caffe_pb2.NetParameter()), caffe_pb2.TRAIN)


def _accuracy(options: str) -> float:
    """Part of the pixels that are told apart after some steps of SGD."""
    net, rng = _scratch(options), np.random.default_rng(0)
    right = []
    for _ in range(60):
        target = np.zeros((2, 1, 9, 8))
        target[0, :, :, 4:] = target[1, :, :4] = 1
        net.blobs["x"].data[...] = 2 * target - 1 + rng.normal(0, 1, target.shape)
        net.blobs["e"].data[...] = 3 * target
        net.blobs["t"].data[...] = target
        net.clear_param_diffs()
        net.forward()
        net.backward()
        for blob in net.learnable_params:
            blob.data[...] -= 0.2 * blob.diff
        scores = net.blobs["c"].data
        right.append(((scores[:, 1] > scores[:, 0]) == target[:, 0]).mean())
    return float(np.mean(right[-10:]))


def test_from_scratch_it_trains_only_scaled_by_taps() -> None:
    assert _accuracy("scale_by_taps: true") > 0.9
    assert _accuracy("") < 0.7
