"""Recomputation: the same numbers, to the bit, in less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.data.synthetic import write_set
from segcaffe.errors import GraphError
from segcaffe.layers import layer_class
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse, read_net
from segcaffe.testing import LayerCase
from tests import test_originals as originals
from tests.cases import all_cases
from tests.conftest import ROOT
from tests.net.test_memory import BODY, CONV, INPUT, LOSS
from tests.test_configs import VARIABLES

Arrays = list[np.ndarray[Any, Any]]
NORM = """layer {{ name: "{0}_norm" type: "BatchNorm" bottom: "{0}" top: "{0}" }}
layer {{ name: "{0}_scale" type: "Scale" bottom: "{0}" top: "{0}" scale_param {{ bias_term: true }} }}"""
LABEL = (
    'layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 2 dim: 33 dim: 41 } '
    'data_filler { type: "constant" value: 1 } } } '
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" } '
    'layer { name: "hit" type: "Accuracy" bottom: "y" bottom: "t" top: "hit" }'
)


def residual() -> str:
    """Residual blocks with normalization, slopes and dropout in place, LRN and pooling."""
    text, last = INPUT + CONV.format("c0", "x", 8), "c0"
    for i in range(1, 5):
        text += CONV.format(f"c{i}", last, 8)
        text += NORM.format(f"c{i}")
        text += f'''
            layer {{ name: "p{i}" type: "PReLU" bottom: "c{i}" top: "c{i}" }}
            layer {{ name: "d{i}" type: "Dropout" bottom: "c{i}" top: "c{i}" }}
            layer {{ name: "s{i}" type: "Eltwise" bottom: "c{i}" bottom: "{last}" top: "s{i}" }}
            layer {{ name: "n{i}" type: "LRN" bottom: "s{i}" top: "n{i}" }}
            layer {{ name: "m{i}" type: "Pooling" bottom: "n{i}" top: "m{i}"
                    pooling_param {{ kernel_size: 3 stride: 1 pad: 1 }} }}'''
        last = f"m{i}"
    return text + CONV.format("y", last, 3) + LABEL


def build(text: str, recompute: Any, share: bool = True) -> Net:
    device.set_random_seed(1)
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN, share_memory=share, recompute=recompute)
    for name in net.inputs:
        net.blobs[name].data[...] = np.random.default_rng(2).standard_normal(net.blobs[name].shape)
    return net


def steps(net: Net, count: int = 2) -> Arrays:
    """Losses, gradients and parameters of some iterations in which the parameters move."""
    device.set_random_seed(1)
    found: Arrays = []
    for _ in range(count):
        net.clear_param_diffs()
        found += [array.copy() for array in net.forward().values()]
        net.backward()
        found += [blob.diff.copy() for blob in net.learnable_params]
        for blob, rate in zip(net.learnable_params, net.params_lr, strict=True):
            if rate:
                blob.data[...] -= 0.01 * blob.diff
        found += [blob.data.copy() for layer in net.layers for blob in layer.blobs]
    return found


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert np.array_equal(mine, theirs)


NETS = {"plain": INPUT + BODY + LOSS, "residual": residual()}
CHOICES = [("plain", "auto"), ("plain", "*"), ("plain", "a,b"), ("plain", ["a", "sum", "pool"])] + [
    ("residual", choice) for choice in ("auto", "*", "c*", ["c1", "m1", "s2"], " m*, n* ")
]


@pytest.mark.parametrize(("name", "choice"), CHOICES, ids=str)
def test_the_same_numbers_in_less_memory(name: str, choice: Any) -> None:
    plain, net = build(NETS[name], None), build(NETS[name], choice)
    assert_same(steps(net), steps(plain))
    assert net.plan_memory().schedule.recomputed()
    if choice == "auto":
        assert net.plan_memory().total < plain.plan_memory().total


def test_auto_saves_most() -> None:
    plain, net = (build(NETS["residual"], choice) for choice in (None, "auto"))
    assert net.plan_memory().total < 0.6 * plain.plan_memory().total


def test_without_sharing_the_same() -> None:
    assert_same(steps(build(NETS["residual"], "auto")), steps(build(NETS["residual"], None, share=False)))


def test_every_value_is_there_once_again() -> None:
    net = build(NETS["residual"], "*")
    again = [i for layers in net.plan_memory().schedule.recomputed().values() for i in layers]
    assert len(again) == len(set(again))
    assert not any(net.layers[i].loss or net.layers[i].source for i in again)


def test_other_shapes_are_planned_anew() -> None:
    nets = [build(INPUT + BODY.split('layer { name: "flat')[0] + SUM, choice) for choice in (None, "auto")]
    for size in ((33, 41), (49, 60), (20, 31)):
        for net in nets:
            net.blobs["x"].reshape(2, 3, *size)
            net.reshape()
            net.blobs["x"].data[...] = np.random.default_rng(3).standard_normal((2, 3, *size))
        assert_same(steps(nets[1]), steps(nets[0]))


SUM = (
    'layer { name: "total" type: "Reduction" bottom: "d" top: "total" reduction_param { operation: SUMSQ } '
    "loss_weight: 0.001 }"
)


def test_backward_in_parts() -> None:
    net, plain = build(NETS["residual"], "auto"), build(NETS["residual"], None)
    for each in (net, plain):
        device.set_random_seed(1)
        each.clear_param_diffs()
        each.forward()
    for i in reversed(range(len(net.layers))):
        net.backward_from_to(i, i)
    plain.backward()
    assert_same([b.diff for b in net.learnable_params], [b.diff for b in plain.learnable_params])
    with pytest.raises(GraphError, match="one backward pass only"):
        net.backward()


def test_an_error_while_recomputing_names_the_layer_that_is_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(NETS["residual"], "*")
    again = next(iter(net.plan_memory().schedule.recomputed().values()))[0]
    net.forward()

    def fail(*arguments: object) -> None:
        raise GraphError("It does not go.")

    monkeypatch.setattr(net.layer_list[again], "recompute", fail)
    with pytest.raises(GraphError) as caught:
        net.backward()
    assert caught.value.layer == net.layer_names[again]


def test_a_test_net_has_nothing_to_compute_again() -> None:
    param = parse(INPUT + BODY, caffe_pb2.NetParameter(), "net")
    net = Net(param, caffe_pb2.TEST, recompute="no_such_layer")
    assert not net.plan_memory().schedule.recomputed()


@pytest.mark.parametrize(
    ("names", "message"),
    [("sun", 'no layer is called "sun". Did you mean "sum"'), ("loss", "cannot be computed again"),
     ("a_relu", "Layers that work in place go with"), ("x", "cannot be computed again")],
)  # fmt: skip
def test_names_that_cannot_be_meant(names: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        build(NETS["plain"], names)


def _repeats(case: LayerCase) -> bool:
    layer, bottom, top = case.build()
    return layer.memory(bottom, top, True).recomputes and bool(case.tops)


@pytest.mark.parametrize("case", [c for c in all_cases() if _repeats(c)], ids=lambda case: case.id)
def test_layers_repeat_themselves(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    for blob in top:
        blob.diff[...] = np.linspace(-1, 1, blob.count).reshape(blob.shape)
    before = [blob.data.copy() for blob in (*top, *layer.blobs)]
    wanted = [layer.allows_gradient(i) for i in range(len(bottom))]
    differentiable = case.gradient and any(wanted)

    def gradients() -> Arrays:
        for blob in layer.blobs:
            blob.diff[...] = 0
        if differentiable:
            layer.backward(top, wanted, bottom)
        return [blob.diff.copy() for blob in (*bottom, *layer.blobs)]

    expected, state = gradients(), device.get_state()
    for blob in layer.saved_blobs.values():
        blob.buffer("data").release()
    for blob in top:
        if not any(blob.shares_data_with(other) for other in bottom):
            blob.data[...] = 7
    layer.recompute(bottom, top)
    assert device.get_state() == state
    assert_same([blob.data for blob in (*top, *layer.blobs)], before)
    assert_same(gradients(), expected)


def test_what_never_repeats() -> None:
    types = [c for c in all_cases() if not _repeats(c) and c.tops and not layer_class(c.type).source]
    assert {"Python", "LSTM", "RNN", "AdaptiveBiasChannel", "SoftmaxWithLoss"} <= {case.type for case in types}


@pytest.mark.slow
@pytest.mark.usefixtures("frees_nets")
@pytest.mark.parametrize(("folder", "choice"), [("vgg16", "auto"), ("vgg16", "conv*,fused"), ("resnet", "auto")])
def test_configured_nets(folder: str, choice: str, tmp_path: Path) -> None:
    images = write_set(tmp_path, train=2, test=1, size=80, classes=True)
    values = VARIABLES | {"LIST_DIR": str(images.root), "DATA_ROOT": f"{images.root}/"}
    param = read_net(ROOT / "configs" / folder / "train.prototxt", values).message
    originals.narrow(param)
    for layer in param.layer:
        # What starts at zero would compute with zeros only.
        if layer.type == "Convolution" and not layer.convolution_param.HasField("weight_filler"):
            layer.convolution_param.weight_filler.type = "xavier"
    results: list[Arrays] = []
    plans = []
    for recompute in (None, choice):
        device.set_random_seed(3)
        net = Net(param, caffe_pb2.TRAIN, share_memory=True, recompute=recompute)
        for each in net.layers:
            if each.type == "BatchNorm":
                each.blobs[1].data[...] = each.blobs[2].data[...] = 1
        plans.append(net.plan_memory())
        results.append(steps(net, 1))
        assert np.isfinite(net.loss)
        assert any(np.any(blob.diff) for blob in net.learnable_params)
    assert_same(*results)
    least = 0.9 if choice == "auto" else 1
    assert plans[1].shared + plans[1].saved < least * (plans[0].shared + plans[0].saved)
