"""Which layers run backward, and to which bottoms: pruning, propagate_down, force_backward."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import GraphError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TRAIN, NetParameter
from segcaffe.proto.text import parse

INPUT = 'layer { name: "in" type: "Input" top: "x" top: "target" input_param { shape { dim: 2 dim: 3 } } } '
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "last" bottom: "target" top: "loss" } '
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def _dense(name: str, bottom: str, top: str, options: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {options} '
        "inner_product_param { num_output: 3 weight_filler { type: 'constant' value: 0.5 } } } "
    )


def _sigmoid(name: str, bottom: str, top: str, options: str = "") -> str:
    return f'layer {{ name: "{name}" type: "Sigmoid" bottom: "{bottom}" top: "{top}" {options} }} '


def _run(text: str) -> Net:
    net = Net(parse(INPUT + text, NetParameter()), phase=TRAIN)
    net.blobs["x"].data[...] = [[1, 2, 3], [-1, 0, 2]]
    net.forward()
    net.backward()
    return net


def _with_gradient(net: Net, *names: str) -> list[bool]:
    return [bool(np.any(net.blobs[name].diff)) for name in names]


def test_gradients_go_down_to_the_first_parameter_only() -> None:
    net = _run(_sigmoid("s", "x", "s") + _dense("a", "s", "a") + _dense("b", "a", "last") + LOSS)
    assert _with_gradient(net, "x", "s", "a", "last") == [False, False, True, True]
    assert net.layer_needs_backward == [False, False, True, True, True]


def test_frozen_layers_below_are_passed_over_and_those_above_are_not() -> None:
    net = _run(_dense("a", "x", "a", FROZEN) + _dense("b", "a", "b") + _dense("c", "b", "last", FROZEN) + LOSS)
    assert _with_gradient(net, "a", "b", "last") == [False, True, True]
    assert not np.any(net.params["c"][0].diff)
    assert np.any(net.params["b"][0].diff)


def test_propagate_down_false_cuts_what_is_below_and_nothing_above() -> None:
    net = _run(
        _dense("a", "x", "a")
        + _sigmoid("s", "a", "s", "propagate_down: false")
        + _sigmoid("t", "s", "t")
        + _dense("b", "t", "last")
        + LOSS
    )
    assert _with_gradient(net, "a", "s", "t", "last") == [False, True, True, True]
    assert not np.any(net.params["a"][0].diff)


def test_propagate_down_true_gives_the_data_a_gradient_where_the_layer_learns() -> None:
    net = _run(_dense("a", "x", "last", "propagate_down: true") + LOSS)
    assert _with_gradient(net, "x") == [True]


def test_propagate_down_true_makes_no_layer_run_backward() -> None:
    net = _run(_sigmoid("s", "x", "s", "propagate_down: true") + _dense("b", "s", "last") + LOSS)
    assert _with_gradient(net, "x", "s") == [False, False]


def test_propagate_down_is_given_once_for_each_bottom() -> None:
    with pytest.raises(GraphError, match="propagate_down needs one value for each of its 1 bottoms"):
        _run(_dense("a", "x", "last", "propagate_down: true propagate_down: true") + LOSS)


def test_a_branch_without_a_loss_stays_out_of_the_backward_pass() -> None:
    net = _run(
        _dense("a", "x", "a")
        + _dense("b", "a", "last")
        + LOSS
        + _dense("c", "a", "c")
        + 'layer { name: "off" type: "EuclideanLoss" bottom: "c" bottom: "target" top: "off" loss_weight: 0 } '
        + 'layer { name: "silence" type: "Silence" bottom: "x" } '
    )
    assert _with_gradient(net, "c", "a_a_0_split_1", "a") == [False, False, True]
    assert not np.any(net.params["c"][0].diff)


def test_force_backward_reaches_the_data_and_frozen_parameters() -> None:
    net = _run("force_backward: true " + _sigmoid("s", "x", "s") + _dense("a", "s", "last", FROZEN) + LOSS)
    assert _with_gradient(net, "x", "s", "last") == [True, True, True]
    assert np.any(net.params["a"][0].diff)


def test_where_nothing_learns_a_backward_pass_does_nothing() -> None:
    text = INPUT + _dense("a", "x", "last", FROZEN) + LOSS
    net = Net(parse(text, NetParameter()), phase=TRAIN, share_memory=True)
    net.forward()
    net.backward()
    assert not any(net.layer_needs_backward)


def test_batch_norm_counts_as_learning_for_what_is_above_it() -> None:
    norm = 'layer { name: "n" type: "BatchNorm" bottom: "x" top: "n" } '
    net = _run(norm + _sigmoid("s", "n", "last") + LOSS)
    assert _with_gradient(net, "x", "n", "last") == [False, True, True]


SALIENCY = (
    'name: "s" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } } '
    + _dense("ip", "x", "y")
    + 'layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" } '
)
TOLD = (
    'Net "s": backward computes no gradient of x, which no loss or parameter needs: it stays as it was. '
    "Write force_backward: true at the top of the net's prototxt."
)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def _net(text: str) -> Net:
    net = Net(parse(text, NetParameter()), phase=TRAIN)
    net.forward()
    return net


def test_backward_without_force_backward_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    net = _net(SALIENCY)
    for _ in range(2):
        assert not net.backward(prob=np.ones((2, 3)))["x"].any()
    assert _warnings(caplog) == [TOLD]


def test_where_nothing_runs_backward_that_is_told_even_if_nothing_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _net(SALIENCY).backward()
    assert ["backward computes no gradient, which" in message for message in _warnings(caplog)] == [True]


def test_the_gradient_of_a_blob_that_is_asked_for_by_name(caplog: pytest.LogCaptureFixture) -> None:
    net = _net(INPUT + _sigmoid("s", "x", "s") + _dense("a", "s", "last") + LOSS)
    net.backward(diffs=["last"])
    assert _warnings(caplog) == []
    net.backward(diffs=["s"])
    assert ["no gradient of s, which" in message for message in _warnings(caplog)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "force_backward: true " + SALIENCY,
        SALIENCY.replace('name: "ip" type', 'name: "ip" propagate_down: true type') + LOSS.replace("last", "y"),
    ],
)
def test_gradients_that_are_computed_are_no_warning(text: str, caplog: pytest.LogCaptureFixture) -> None:
    if "target" in text:
        text = text.replace('top: "x"', 'top: "x" top: "target"', 1)
    net = _net(text)
    net.backward(prob=np.eye(2, 3))
    net.backward(diffs=["x"])
    assert _warnings(caplog) == []


def test_a_training_loop_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    net = _net(INPUT + _dense("a", "x", "last") + LOSS)
    net.backward()
    assert _warnings(caplog) == []
