"""Folding BatchNorm, Scale and ReLU into convolutions changes no result and no gradient."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import GraphError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 7 dim: 9 } } }'
CONV = """layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {} }} }}"""
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }'
SCALE = 'layer {{ name: "scale" type: "Scale" bottom: "y" top: "y" scale_param {{ bias_term: {} }} }}'
BN = 'layer {{ name: "bn" type: "BN" bottom: "y" top: "y" bn_param {{ {} }} {} }}'
PRELU = 'layer {{ name: "relu" type: "PReLU" bottom: "y" top: "y" prelu_param {{ channel_shared: {} }} }}'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
LEAKY = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: -0.3 } }'


def build(text: str, fuse: bool, phase: int = caffe_pb2.TEST) -> Net:
    """A net in float64, its parameters and inputs the same each time."""
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), phase, dtype=np.float64, fuse=fuse)
    rng = np.random.default_rng(1)
    net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    for layer in net.layers:
        for blob in layer.blobs:
            # Weights of both signs, else no sum would be negative; a BatchNorm's variance and its factor are positive.
            low = 0.5 if layer.type in ("BatchNorm", "BN") else -1.5
            blob.data[...] = rng.uniform(low, 1.5, blob.shape)
    return net


def folded(net: Net) -> list[str]:
    """Names of the layers that others do the work of."""
    return [net.layer_names[j] for absorbed in net.graph.absorbed.values() for j in absorbed]


def assert_same(text: str, expected: list[str]) -> None:
    ours, plain = build(text, True), build(text, False)
    assert (folded(ours), folded(plain)) == (expected, [])
    assert np.allclose(ours.forward()["y"], plain.forward()["y"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", ["", "bias_term: false", "group: 2"])
@pytest.mark.parametrize(("rest", "expected"), [
    (NORM, ["norm"]),
    (NORM + SCALE.format("true"), ["norm", "scale"]),
    (NORM + SCALE.format("false") + RELU, ["norm", "scale", "relu"]),
    (NORM + RELU + SCALE.format("true"), ["norm", "relu"]),
    (RELU + NORM, ["relu"]),
    (RELU, ["relu"]),
    (LEAKY, ["relu"]),
    (SCALE.format("true") + LEAKY, ["scale", "relu"]),
    (SCALE.format("true") + NORM, ["scale"]),
    (NORM + SCALE.format("true") + PRELU.format("false"), ["norm", "scale", "relu"]),
    (PRELU.format("true"), ["relu"]),
    (BN.format("bn_mode: INFERENCE", "") + RELU, ["bn", "relu"]),
    (BN.format("momentum: 0.9", "") + SCALE.format("true") + RELU, ["bn", "scale", "relu"]),
    (BN.format("bn_mode: LEARN", "") + RELU, []),
])  # fmt: skip
@pytest.mark.parametrize("maker", ["Convolution", "Deconvolution", "InnerProduct"])
def test_same_results(maker: str, options: str, rest: str, expected: list[str]) -> None:
    conv = CONV.format(options).replace("Convolution", maker)
    if maker == "InnerProduct":
        bias = "false" if "false" in options else "true"
        conv = conv[: conv.index("convolution_param")] + f"inner_product_param {{ num_output: 6 bias_term: {bias} }} }}"
    else:
        conv = conv.replace("num_output: 6", "num_output: 6 stride: 2")
    assert_same(INPUT + conv + rest, expected)


LATE = 'layer { name: "late" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: 0.1 } }'


@pytest.mark.parametrize("first", ["Pooling", ""])
@pytest.mark.parametrize(("rest", "expected"), [
    (NORM + SCALE.format("true") + RELU, ["scale", "relu"]),
    (NORM + SCALE.format("false"), ["scale"]),
    (NORM + PRELU.format("false"), ["relu"]),
    (NORM, []),
    (SCALE.format("true") + LEAKY, ["relu"]),
    (NORM + RELU + SCALE.format("true") + LATE, ["relu", "late"]),
    (RELU + NORM + SCALE.format("true"), ["scale"]),
    (BN.format("bn_mode: INFERENCE", "") + SCALE.format("true") + RELU, ["scale", "relu"]),
    (BN.format("bn_mode: LEARN", "") + RELU, []),
])  # fmt: skip
def test_channels_that_no_convolution_makes(first: str, rest: str, expected: list[str]) -> None:
    """They are finished by the first of the layers, whether that is in place or not."""
    pool = 'layer { name: "pool" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 stride: 2 } }'
    assert_same(INPUT + (pool + rest if first else rest.replace('bottom: "y"', 'bottom: "x"', 1)), expected)


def test_one_channel_of_numbers() -> None:
    one = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 } } }'
    assert_same(one + NORM.replace('bottom: "y"', 'bottom: "x"') + RELU, ["relu"])


def test_what_leads_sees_what_is_written_and_stands_back_for_parts_of_the_net() -> None:
    text = INPUT + NORM.replace('bottom: "y"', 'bottom: "x"') + SCALE.format("true") + RELU
    ours, plain = (build(text, fuse) for fuse in (True, False))
    for _ in range(5):
        assert np.allclose(ours.forward()["y"], plain.forward()["y"])
    for name, index, value in (("scale", 0, -2), ("scale", 1, 0.7), ("norm", 0, 0.4), ("norm", 2, 2)):
        for net in (ours, plain):
            net.params[name][index].data[...] = value
        assert np.allclose(ours.forward()["y"], plain.forward()["y"])
    assert np.allclose(ours.forward(end="norm")["y"], plain.forward(end="norm")["y"])
    assert np.allclose(ours.forward(start="scale")["y"], plain.forward(start="scale")["y"])
    assert np.allclose(ours.forward()["y"], plain.forward()["y"])
    seen: list[bool] = []
    for net in (ours, plain):
        net.before_forward(lambda i, net=net: seen.append(bool((net.blobs["y"].data < 0).any())))
        net.forward()
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


def test_changed_parameters_count() -> None:
    ours, plain = (build(INPUT + CONV.format("") + NORM + SCALE.format("true"), fuse) for fuse in (True, False))
    for net in (ours, plain):
        net.forward()
        net.params["scale"][0].data[...] = -2
        net.params["norm"][2].data[...] = 0
    assert np.allclose(ours.forward()["y"], plain.forward()["y"])


def test_weights_are_saved_as_they_are() -> None:
    ours, plain = (build(INPUT + CONV.format("") + NORM + SCALE.format("true"), fuse) for fuse in (True, False))
    ours.forward()
    assert ours.to_proto() == plain.to_proto()


FROZEN = """layer { name: "scale" type: "Scale" bottom: "y" top: "y" param { lr_mult: 0 } param { lr_mult: 0 }
  scale_param { bias_term: true } }"""
LOSS = """layer { name: "target" type: "DummyData" top: "target" dummy_data_param {
  shape { dim: 2 dim: 6 dim: 7 dim: 9 }
  data_filler { type: "constant" value: 0.3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "target" top: "loss" }"""
STORED = NORM.replace("}", "batch_norm_param { use_global_stats: true } }")


@pytest.mark.parametrize("prefix", ["", "force_backward: true "])
@pytest.mark.parametrize(("rest", "expected"), [
    (STORED, ["norm"]),
    (STORED + FROZEN, ["norm", "scale"]),
    (STORED + FROZEN + RELU, ["norm", "scale", "relu"]),
    (STORED + RELU, ["norm", "relu"]),
    (RELU, ["relu"]),
    (RELU.replace("}", "relu_param { negative_slope: 0.2 } }"), ["relu"]),
    (LEAKY, []),
    (PRELU.format("false"), []),
    (STORED + SCALE.format("true") + RELU, ["norm"]),
    (NORM + FROZEN + RELU, []),
    (STORED.replace("type:", "propagate_down: true type:"), []),
    (BN.format("frozen: true", "") + RELU, ["bn", "relu"]),
    (BN.format("bn_mode: INFERENCE", "param { lr_mult: 0 } param { lr_mult: 0 }") + RELU, ["bn", "relu"]),
    (BN.format("bn_mode: INFERENCE", "param { lr_mult: 0 }") + RELU, []),
    (BN.format("bn_mode: LEARN", "") + RELU, []),
])  # fmt: skip
@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_nets_that_learn(rest: str, expected: list[str], prefix: str, phase: int) -> None:
    if rest.startswith(NORM) and phase == caffe_pb2.TEST:
        pytest.skip("in phase TEST these are the stored statistics")
    text = prefix + INPUT + CONV.format("") + rest + LOSS
    ours, plain = build(text, True, phase), build(text, False, phase)
    assert (folded(ours), folded(plain)) == ([] if prefix else expected, [])
    for net in (ours, plain):
        for _ in range(2):
            net.forward()
            net.backward()
    assert np.allclose(ours.blobs["y"].data, plain.blobs["y"].data, rtol=1e-12, atol=1e-12)
    assert np.allclose(ours.blobs["y"].diff, plain.blobs["y"].diff, rtol=1e-12, atol=1e-12)
    assert np.allclose(ours.blobs["x"].diff, plain.blobs["x"].diff, rtol=1e-12, atol=1e-12)
    for mine, other in zip(ours.learnable_params, plain.learnable_params, strict=True):
        assert np.allclose(mine.diff, other.diff, rtol=1e-12, atol=1e-12)


def test_a_net_that_shares_memory_is_not_to_learn_in_phase_test() -> None:
    text = INPUT + CONV.format("") + NORM + SCALE.format("true") + PRELU.format("false") + LOSS
    param = parse(text, caffe_pb2.NetParameter(), "net")
    nets = [Net(param, caffe_pb2.TEST, share_memory=share) for share in (True, False)]
    assert [folded(net) for net in nets] == [["norm", "scale", "relu"], ["norm"]]
    for net in nets:
        rng = np.random.default_rng(2)
        for layer in net.layers:
            for blob in layer.blobs:
                blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
        net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    for _ in range(4):
        np.testing.assert_allclose(*(net.forward()["loss"] for net in nets), rtol=1e-5)
    with pytest.raises(GraphError, match="share memory"):
        nets[0].backward()


def test_what_a_folded_layer_adds_to_the_loss() -> None:
    text = INPUT + CONV.format("") + NORM + RELU.replace('name: "relu"', 'name: "relu" loss_weight: 0.5')
    losses = []
    for fuse in (True, False):
        net = Net(parse(text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST, fuse=fuse, share_memory=True)
        rng = np.random.default_rng(2)
        for blob in [blob for layer in net.layers for blob in layer.blobs]:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
        net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
        net.forward()
        losses.append(net.loss)
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("maker", ["Deconvolution", "InnerProduct"])
def test_other_makers_learn(maker: str) -> None:
    conv = CONV.format("").replace("Convolution", maker)
    loss = LOSS
    if maker == "InnerProduct":
        conv = conv[: conv.index("convolution_param")] + "inner_product_param { num_output: 6 } }"
        loss = LOSS.replace("dim: 7 dim: 9", "")
    nets = [build(INPUT + conv + STORED + FROZEN + RELU + loss, fuse, caffe_pb2.TRAIN) for fuse in (True, False)]
    assert folded(nets[0]) == ["norm", "scale", "relu"]
    for net in nets:
        net.forward()
        net.backward()
    for mine, other in zip(*(net.learnable_params for net in nets), strict=True):
        assert np.allclose(mine.diff, other.diff, rtol=1e-12, atol=1e-12)


def test_shared_memory_changes_no_gradient() -> None:
    text = INPUT + CONV.format("") + STORED + FROZEN + RELU
    text += text[len(INPUT) :].replace('"y"', '"z"').replace('"x"', '"y"').replace('name: "', 'name: "second_')
    text += LOSS.replace('"y"', '"z"')
    param = parse(text, caffe_pb2.NetParameter(), "net")
    nets = [Net(param, caffe_pb2.TRAIN, fuse=True, share_memory=share) for share in (True, False)]
    rng = np.random.default_rng(2)
    values = [rng.uniform(0.5, 1.5, blob.shape) for layer in nets[0].layers for blob in layer.blobs]
    image = rng.standard_normal(nets[0].blobs["x"].shape)
    for net in nets:
        for blob, value in zip([blob for layer in net.layers for blob in layer.blobs], values, strict=True):
            blob.data[...] = value
        net.blobs["x"].data[...] = image
        for _ in range(2):
            net.forward()
            net.clear_param_diffs()
            net.backward()
    for mine, other in zip(*(net.learnable_params for net in nets), strict=True):
        np.testing.assert_array_equal(mine.diff, other.diff)


def test_layers_that_are_not_in_place_are_left_alone() -> None:
    text = INPUT + CONV.format("").replace('top: "y"', 'top: "z"') + NORM.replace('bottom: "y"', 'bottom: "z"')
    assert_same(text, [])


def test_debug_info_shows_every_layer() -> None:
    net = build("debug_info: true " + INPUT + CONV.format("") + STORED + RELU + LOSS, True, caffe_pb2.TRAIN)
    assert folded(net) == []


LEARNING = INPUT + CONV.format("") + STORED + FROZEN + RELU + LOSS


@pytest.mark.parametrize("cut", range(6))
def test_a_pass_in_two_parts_shows_what_lies_between(cut: int) -> None:
    ours, plain = (build(LEARNING, fuse, caffe_pb2.TRAIN) for fuse in (True, False))
    last = len(ours.layers) - 1
    for net in (ours, plain):
        net.forward_from_to(0, cut)
    np.testing.assert_allclose(ours.blobs["y"].data, plain.blobs["y"].data, rtol=1e-12, atol=1e-12)
    for net in (ours, plain):
        # What a user changes on the way counts.
        net.blobs["y"].data[0] *= -0.5
        net.forward_from_to(cut + 1, last)
        net.backward_from_to(last, cut + 1)
    np.testing.assert_allclose(ours.blobs["y"].data, plain.blobs["y"].data, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.blobs["y"].diff, plain.blobs["y"].diff, rtol=1e-12, atol=1e-12)
    for net in (ours, plain):
        net.backward_from_to(cut, 0)
    for mine, other in zip(ours.learnable_params, plain.learnable_params, strict=True):
        np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_backward_pass_in_two_parts_after_a_whole_forward_pass(cut: int) -> None:
    ours, plain = (build(LEARNING, fuse, caffe_pb2.TRAIN) for fuse in (True, False))
    last = len(ours.layers) - 1
    for net in (ours, plain):
        net.forward()
        net.backward_from_to(last, cut)
    np.testing.assert_allclose(ours.blobs["y"].diff, plain.blobs["y"].diff, rtol=1e-12, atol=1e-12)
    for net in (ours, plain):
        net.backward_from_to(cut - 1, 0)
    for mine, other in zip(ours.learnable_params, plain.learnable_params, strict=True):
        np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-12, atol=1e-12)


def test_hooks_see_what_each_layer_makes() -> None:
    seen: dict[bool, list[float]] = {True: [], False: []}
    for fuse, values in seen.items():
        net = build(LEARNING, fuse, caffe_pb2.TRAIN)
        net.forward()
        net.after_forward(lambda i, net=net, values=values: values.append(float(np.abs(net.blobs["y"].data).sum())))
        net.after_backward(lambda i, net=net, values=values: values.append(float(np.abs(net.blobs["y"].diff).sum())))
        net.forward()
        net.backward()
    np.testing.assert_allclose(seen[True], seen[False], rtol=1e-10)


MASKED = """
layer { name: "dist" type: "Im2dist" bottom: "x" top: "dist" convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "mask" type: "Exp" bottom: "dist" top: "mask" exp_param { scale: -0.3 } }
layer { name: "tile" type: "Tile" bottom: "mask" top: "tile" tile_param { tiles: 4 } }
layer { name: "col" type: "Im2col" bottom: "x" top: "col" convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "hit" type: "Eltwise" bottom: "col" bottom: "tile" top: "hit" eltwise_param { operation: PROD } }
layer { name: "conv" type: "Convolution" bottom: "hit" top: "y" convolution_param {
  num_output: 6 kernel_size: 3 pad: 1 bottom_is_im2col: true } }"""


@pytest.mark.parametrize(("rest", "expected"), [
    (NORM + SCALE.format("true") + RELU, ["norm", "scale", "relu"]),
    (RELU, ["relu"]),
    (SCALE.format("false") + LEAKY, ["scale", "relu"]),
    (PRELU.format("false"), ["relu"]),
])  # fmt: skip
def test_rectifiers_behind_masked_convolutions(rest: str, expected: list[str]) -> None:
    assert_same(INPUT + MASKED + rest, expected)


@pytest.mark.parametrize(("rest", "expected"), [
    (RELU, ["relu"]),
    (RELU.replace("}", "relu_param { negative_slope: 0.2 } }"), ["relu"]),
    (LEAKY, []),
    (PRELU.format("true"), []),
    (STORED + FROZEN + RELU, []),
])  # fmt: skip
def test_masked_convolutions_that_learn(rest: str, expected: list[str]) -> None:
    """The weights' and the embeddings' gradients are those of the layers one by one."""
    text = INPUT + 'layer { name: "e" type: "Convolution" bottom: "x" top: "e" convolution_param { num_output: 4 '
    text += "kernel_size: 1 } }" + MASKED.replace('bottom: "x"', 'bottom: "e"') + rest + LOSS
    nets = [build(text, fuse, caffe_pb2.TRAIN) for fuse in (True, False)]
    for net in nets:
        net.forward()
        net.clear_param_diffs()
        net.backward()
    ours, plain = nets
    assert folded(ours) == expected
    for found, wanted in zip(ours.learnable_params, plain.learnable_params, strict=True):
        assert np.allclose(found.diff, wanted.diff, rtol=1e-10, atol=1e-12)
