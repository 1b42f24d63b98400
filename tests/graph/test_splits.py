"""Split layers: when they are made, what they are called, where loss weights go."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import GraphError
from segcaffe.graph.splits import insert_splits
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TRAIN, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import parse

INPUT = 'layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } } } '


def _net(text: str) -> NetParameter:
    return insert_splits(PlacedNet.of(parse(INPUT + text, NetParameter()))).message


def _connections(net: NetParameter) -> list[str]:
    return [f"{layer.name}: {' '.join(layer.bottom)} -> {' '.join(layer.top)}" for layer in net.layer]


def test_names_follow_blob_layer_and_top_index() -> None:
    net = _net(
        'layer { name: "a" type: "ReLU" bottom: "y" top: "a" } layer { name: "b" type: "ReLU" bottom: "y" top: "b" } '
        'layer { name: "c" type: "Silence" bottom: "y" bottom: "y" } '
    )
    tops = [f"y_in_1_split_{k}" for k in range(4)]
    assert _connections(net) == [
        "in:  -> x y",
        f"y_in_1_split: y -> {' '.join(tops)}",
        f"a: {tops[0]} -> a",
        f"b: {tops[1]} -> b",
        f"c: {tops[2]} {tops[3]} -> ",
    ]


def test_a_chain_in_place_is_split_behind_its_last_link() -> None:
    net = _net(
        'layer { name: "r" type: "ReLU" bottom: "x" top: "x" } layer { name: "s" type: "ReLU" bottom: "x" top: "x" } '
        'layer { name: "a" type: "ReLU" bottom: "x" top: "a" } layer { name: "b" type: "ReLU" bottom: "x" top: "b" } '
    )
    assert _connections(net)[1:] == [
        "r: x -> x",
        "s: x -> x",
        "x_s_0_split: x -> x_s_0_split_0 x_s_0_split_1",
        "a: x_s_0_split_0 -> a",
        "b: x_s_0_split_1 -> b",
    ]


def test_a_loss_that_is_read_moves_its_weight_to_the_first_top_of_the_split() -> None:
    net = _net(
        'layer { name: "l" type: "Reduction" bottom: "x" top: "l" loss_weight: 0.5 } '
        'layer { name: "p" type: "Power" bottom: "l" top: "p" } '
    )
    assert _connections(net)[1:] == [
        "l: x -> l",
        "l_l_0_split: l -> l_l_0_split_0 l_l_0_split_1",
        "p: l_l_0_split_1 -> p",
    ]
    assert list(net.layer[1].loss_weight) == []
    assert list(net.layer[2].loss_weight) == [0.5, 0]


def test_a_loss_weight_of_zero_is_no_use() -> None:
    net = _net(
        'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l" loss_weight: 0 } '
        'layer { name: "p" type: "Power" bottom: "l" top: "p" } '
    )
    assert len(net.layer) == 3
    assert list(net.layer[1].loss_weight) == [0]


@pytest.mark.parametrize("top", ['top: "l"', ""])
def test_loss_weights_of_named_and_automatic_tops(top: str) -> None:
    text = f'layer {{ name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" {top} loss_weight: 3 }} '
    net = Net(parse(INPUT + text, NetParameter()), phase=TRAIN)
    net.blobs["x"].data[...] = 2
    net.forward()
    assert net.loss == pytest.approx(3 * 2 * 2 * 6 / (2 * 2))


@pytest.mark.parametrize("weights", ["loss_weight: 1 loss_weight: 2", "loss_weight: 0 loss_weight: 0 loss_weight: 0"])
def test_one_loss_weight_for_each_top(weights: str) -> None:
    text = f'layer {{ name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l" {weights} }} '
    with pytest.raises(GraphError, match=r'layer "l" \(EuclideanLoss\): loss_weight needs one value for each of its 1'):
        Net(parse(INPUT + text, NetParameter()), phase=TRAIN)


def test_any_layer_may_have_a_loss() -> None:
    text = (
        'force_backward: true layer { name: "a" type: "Power" bottom: "x" top: "a" loss_weight: 2 '
        "power_param { scale: 3 } } "
        'layer { name: "b" type: "Power" bottom: "a" top: "b" loss_weight: -1 power_param { scale: 5 } } '
    )
    net = Net(parse(INPUT + text, NetParameter()), phase=TRAIN)
    net.blobs["x"].data[...] = np.arange(6).reshape(2, 3)
    net.forward()
    assert net.loss == pytest.approx(15 * (2 * 3 - 15))
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, 2 * 3 - 15)
    assert net.outputs == ["a_a_0_split_0", "b", "y"]


def test_unknown_bottoms_are_named() -> None:
    with pytest.raises(GraphError, match=r'no layer before it makes its bottom "z"'):
        _net('layer { name: "a" type: "ReLU" bottom: "z" top: "a" } ')
