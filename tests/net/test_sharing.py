"""Parameters shared by name, parameters of a net's own definition, and statistics that nobody learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import GraphError, ShapeError, WeightsError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TRAIN, NetParameter
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver

INPUT = 'layer { name: "in" type: "Input" top: "x" top: "target" input_param { shape { dim: 4 dim: 3 } } } '
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "last" bottom: "target" top: "loss" } '


def _dense(name: str, bottom: str, top: str, options: str, shape: str = "num_output: 3") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {options} '
        f"inner_product_param {{ {shape} weight_filler {{ type: 'xavier' }} }} }} "
    )


def _net(text: str) -> Net:
    return Net(parse(INPUT + text, NetParameter()), phase=TRAIN)


@pytest.mark.parametrize(
    ("first", "second", "lr", "decay"),
    [
        ('name: "w"', 'name: "w"', 1, 1),
        ('name: "w" lr_mult: 2', 'name: "w"', 2, 1),
        ('name: "w"', 'name: "w" lr_mult: 2 decay_mult: 0', 2, 0),
        ('name: "w" lr_mult: 3 decay_mult: 0.5', 'name: "w" lr_mult: 3 decay_mult: 0.5', 3, 0.5),
        ('name: "w" lr_mult: 0', 'name: "w" decay_mult: 4', 0, 4),
    ],
)
def test_multipliers_are_those_of_whoever_gives_them(first: str, second: str, lr: float, decay: float) -> None:
    net = _net(_dense("a", "x", "a", f"param {{ {first} }}") + _dense("b", "a", "last", f"param {{ {second} }}"))
    assert (net.params_lr, net.params_weight_decay) == ([lr, 1, 1], [decay, 1, 1])
    assert np.shares_memory(net.params["a"][0].data, net.params["b"][0].data)
    assert np.shares_memory(net.params["a"][0].diff, net.params["b"][0].diff)


@pytest.mark.parametrize("option", ["lr_mult", "decay_mult"])
def test_multipliers_must_not_disagree(option: str) -> None:
    params = [f'param {{ name: "w" {option}: {value} }}' for value in (1, 2)]
    with pytest.raises(GraphError, match=f'{option} of the shared parameter "w" is 2 here and 1 in'):
        _net(_dense("a", "x", "a", params[0]) + _dense("b", "a", "last", params[1]))


@pytest.mark.parametrize(
    ("mode", "shape", "message"),
    [
        ("", "num_output: 3 transpose: true", ""),
        ("", "num_output: 1", "so both need the same shape"),
        ("share_mode: STRICT", "num_output: 1 axis: 0", "so both need the same shape"),
        ("share_mode: PERMISSIVE", "num_output: 9 bias_term: false", ""),
        ("share_mode: PERMISSIVE", "num_output: 2", "so both need as many elements"),
    ],
)
def test_shapes_of_what_is_shared(mode: str, shape: str, message: str) -> None:
    # The second layer reads one number an item, so that 9 outputs take 9 weights, as the first layer's 3 x 3.
    slices = 'layer { name: "s" type: "Reduction" bottom: "x" top: "one" reduction_param { axis: 1 } } '
    reshape = (
        'layer { name: "r" type: "Reshape" bottom: "one" top: "column" reshape_param { shape { dim: -1 dim: 1 } } } '
    )
    bottom = "x" if "transpose" in shape or "axis" in shape else "column"
    text = _dense("a", "x", "a", 'param { name: "w" }') + slices + reshape
    text += _dense("b", bottom, "b", f'param {{ name: "w" {mode} }}', shape)
    if not message:
        net = _net(text)
        assert np.shares_memory(net.params["a"][0].data, net.params["b"][0].data)
        return
    with pytest.raises(ShapeError, match=f'layer "b" .*shares parameter "w" with layer "a".*{message}'):
        _net(text)


def test_values_in_the_definition_are_the_initial_ones() -> None:
    blobs = "blobs { shape { dim: 1 dim: 3 } data: [1, 2, 3] } blobs { num: 1 channels: 1 height: 1 width: 1 data: 4 }"
    net = _net(_dense("a", "x", "last", blobs, "num_output: 1"))
    net.blobs["x"].data[...] = 1
    assert net.forward()["last"].tolist() == [[10.0]] * 4
    assert len(net.to_proto().layer[1].blobs) == 2


def test_values_in_the_definition_must_fit() -> None:
    with pytest.raises(
        WeightsError, match=r'definition: parameter 0 of layer "a" .* \(1, 2\) in the file and \(1, 3\)'
    ):
        _net(_dense("a", "x", "a", "blobs { shape { dim: 1 dim: 2 } data: [1, 2] } blobs { data: 1 }", "num_output: 1"))


def test_statistics_of_batch_norm_do_not_decay(tmp_path: Path) -> None:
    norm = 'layer { name: "n" type: "BatchNorm" bottom: "a" top: "n" param { lr_mult: 0 } } '
    (tmp_path / "net.prototxt").write_text(
        INPUT + _dense("a", "x", "a", "") + norm + _dense("b", "n", "last", "") + LOSS
    )
    options = 'base_lr: 0.5 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.5 snapshot_after_train: false'
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path / "net.prototxt"}" {options}')
    solver = get_solver(tmp_path / "solver.prototxt")
    solver.net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((4, 3))
    solver.step(1)
    mean, variance, factor = (blob.data for blob in solver.net.params["n"])
    values = solver.net.blobs["a"].data
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, values.var(0, ddof=1), rtol=1e-5)
    assert factor.tolist() == [1.0]
    solver.step(1)
    assert factor.tolist() == [pytest.approx(1.999)]


def test_statistics_of_batch_norm_cannot_learn() -> None:
    with pytest.raises(ShapeError, match=r'layer "n" \(BatchNorm\): its parameters are statistics, not learnt'):
        _net('layer { name: "n" type: "BatchNorm" bottom: "x" top: "n" param { lr_mult: 1 } } ')
