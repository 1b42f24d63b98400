"""The memory plan: the same results in less memory, and as much memory as it says."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.errors import GraphError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import test_originals as originals

CONV = """layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ num_output: {2}
  kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" value: 0.1 }} }} }}
layer {{ name: "{0}_relu" type: "ReLU" bottom: "{0}" top: "{0}" }}"""
BODY = "".join(
    [
        CONV.format("a", "x", 8),
        CONV.format("b", "a", 8),
        CONV.format("c", "b", 8),
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "c" top: "sum" }',
        'layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }',
        'layer { name: "join" type: "Concat" bottom: "sum" bottom: "b" top: "join" }',
        'layer { name: "pool" type: "Pooling" bottom: "join" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }',
        CONV.format("d", "pool", 4),
        'layer { name: "flat" type: "Flatten" bottom: "d" top: "flat" }',
    ]
)
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 33 dim: 41 } } }'
LOSS = (
    'layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 2 dim: 1280 } '
    'data_filler { type: "constant" value: 0.5 } } } '
    'layer { name: "loss" type: "EuclideanLoss" bottom: "flat" bottom: "t" top: "loss" }'
)


def build(text: str, phase: int, share: bool) -> Net:
    """A net with the same weights and inputs each time."""
    device.set_random_seed(1)
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), phase, share_memory=share)
    for name in net.inputs:
        net.blobs[name].data[...] = np.random.default_rng(2).standard_normal(net.blobs[name].shape)
    return net


def step(net: Net) -> list[np.ndarray[Any, Any]]:
    """Outputs and all gradients of parameters of one pass."""
    device.set_random_seed(1)
    outputs = [array.copy() for array in net.forward().values()]
    net.clear_param_diffs()
    if any(net.layer_needs_backward):
        net.backward()
    return outputs + [blob.diff.copy() for blob, rate in zip(net.learnable_params, net.params_lr, strict=True) if rate]


def test_training_gives_the_same_gradients() -> None:
    shared, plain = (build(INPUT + BODY + LOSS, caffe_pb2.TRAIN, share) for share in (True, False))
    for _ in range(2):
        for found, expected in zip(step(shared), step(plain), strict=True):
            assert np.array_equal(found, expected)
    assert shared.plan_memory().total < 0.7 * plain.plan_memory().unshared


def test_testing_gives_the_same_outputs() -> None:
    shared, plain = (build(INPUT + BODY, caffe_pb2.TEST, share) for share in (True, False))
    for _ in range(2):
        for found, expected in zip(shared.forward().values(), plain.forward().values(), strict=True):
            assert np.array_equal(found, expected)


def test_backward_of_a_test_net_is_refused() -> None:
    net = build(INPUT + BODY, caffe_pb2.TEST, True)
    net.forward()
    with pytest.raises(GraphError, match="share memory"):
        net.backward()


def test_gradients_of_a_test_net_with_force_backward() -> None:
    shared, plain = (build("force_backward: true " + INPUT + BODY, caffe_pb2.TEST, share) for share in (True, False))
    for net in (shared, plain):
        net.forward()
        net.blobs["flat"].diff[...] = 1
        net.backward()
    assert np.array_equal(shared.blobs["x"].diff, plain.blobs["x"].diff)


def test_what_is_joined_is_made_in_its_place() -> None:
    text = INPUT.replace("dim: 2", "dim: 1", 1) + CONV.format("a", "x", 8) + CONV.format("b", "a", 8)
    text += 'layer { name: "join" type: "Concat" bottom: "a" bottom: "b" bottom: "x" top: "join" }'
    text += CONV.format("y", "join", 2)
    shared, plain = (build(text, caffe_pb2.TEST, share) for share in (True, False))
    places = [shared.blobs[name].buffer("data").place_in(shared.blobs["join"].buffer("data")) for name in "bx"]
    assert places == [8 * 33 * 41, None]
    for size in ((33, 41), (20, 31), (40, 50)):
        values = np.random.default_rng(3).standard_normal((1, 3, *size))
        for net in (shared, plain):
            net.blobs["x"].reshape(*values.shape)
        assert np.array_equal(shared.forward(x=values)["y"], plain.forward(x=values)["y"])


def test_joins_of_joins_are_made_in_their_place() -> None:
    """Blobs that several layers read, rectified in place before or behind; each net and size gives the same bits."""
    text = INPUT.replace("dim: 2", "dim: 1", 1) + CONV.format("j0", "x", 8)
    for k in range(3):
        text += (
            CONV.format(f"c{k}", f"j{k}", 4)
            + f"""
          layer {{ name: "p{k}" type: "Pooling" bottom: "j{k}" top: "p{k}"
                   pooling_param {{ kernel_size: 3 stride: 1 pad: 1 }} }}
          layer {{ name: "j{k + 1}" type: "Concat" bottom: "j{k}" bottom: "c{k}" bottom: "p{k}" top: "j{k + 1}" }}"""
        )
    text += 'layer { name: "last" type: "ReLU" bottom: "j3" top: "j3" }' + CONV.format("y", "j3", 2)
    shared, plain = (build(text, caffe_pb2.TEST, share) for share in (True, False))
    whole = shared.blobs["j3"].buffer("data")
    pixels = 33 * 41
    starts = {"j2": 0, "j1": 0, "j0": 0, "c2": 44, "p2": 48, "c1": 20, "p1": 24, "c0": 8, "p0": 12}
    places = {name: shared.blobs[name].buffer("data").place_in(whole) for name in starts}
    assert places == {name: start * pixels for name, start in starts.items()}
    for size in ((33, 41), (20, 31), (40, 50)):
        values = np.random.default_rng(3).standard_normal((1, 3, *size))
        for net in (shared, plain):
            net.blobs["x"].reshape(*values.shape)
        for _ in range(4):
            assert np.array_equal(shared.forward(x=values)["y"], plain.forward(x=values)["y"])


SUM = 'layer {{ name: "{0}" type: "Eltwise" {1} top: "{0}" eltwise_param {{ {2} }} }}'


def test_gradients_that_sums_hand_on_are_not_spoilt() -> None:
    """Terms that layers in place change, that others read too, three of them, with a factor, sums of sums."""
    text = INPUT + CONV.format("a", "x", 4) + CONV.format("b", "a", 4) + CONV.format("c", "b", 4)
    text += SUM.format("s", 'bottom: "a" bottom: "c"', "") + 'layer { name: "r" type: "ReLU" bottom: "s" top: "s" }'
    text += CONV.format("d", "s", 4) + CONV.format("e", "s", 4)
    text += SUM.format("t", 'bottom: "d" bottom: "e" bottom: "s"', "") + CONV.format("f", "c", 4)
    text += SUM.format("u", 'bottom: "t" bottom: "f"', "coeff: 1 coeff: -0.5")
    text += SUM.format("v", 'bottom: "b" bottom: "u"', "")
    text += 'layer { name: "w" type: "TanH" bottom: "v" top: "v" }' + CONV.format("y", "v", 1)
    text += """layer { name: "t0" type: "DummyData" top: "t0" dummy_data_param { shape { dim: 2 dim: 1 dim: 33 dim: 41 }
      data_filler { type: "constant" value: 0.5 } } }
      layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t0" top: "loss" }"""
    shared, plain = (build(text, caffe_pb2.TRAIN, share) for share in (True, False))

    def handed(name: str) -> list[bool]:
        index = shared.layer_names.index(name)
        given = shared.top_blobs[index][0].buffer("diff")
        return [blob.buffer("diff").place_in(given) == 0 for blob in shared.bottom_blobs[index]]

    assert [sum(handed(name)) for name in "stuv"] == [1, 1, 1, 1]
    for _ in range(2):
        for found, expected in zip(step(shared), step(plain), strict=True):
            assert np.array_equal(found, expected)


def test_planning_again_changes_nothing() -> None:
    net = build(INPUT + BODY, caffe_pb2.TEST, True)
    before = net.forward()["flat"].copy(), net.plan_memory().shared
    net.reshape()
    assert net.plan_memory().shared == before[1]
    assert np.array_equal(net.forward()["flat"], before[0])


def test_larger_inputs_are_planned_anew() -> None:
    shared, plain = (build(INPUT + BODY, caffe_pb2.TEST, share) for share in (True, False))
    values = np.random.default_rng(3).standard_normal((1, 3, 70, 60))
    for net in (shared, plain):
        net.blobs["x"].reshape(*values.shape)
    before_reshape = shared.forward(x=values)["flat"].copy()
    shared.reshape()
    assert np.array_equal(shared.forward(x=values)["flat"], before_reshape)
    assert np.array_equal(plain.forward(x=values)["flat"], before_reshape)


@pytest.mark.parametrize(("phase", "text"), [(caffe_pb2.TEST, BODY), (caffe_pb2.TRAIN, BODY + LOSS)])
@pytest.mark.parametrize("share", [True, False])
def test_prediction_is_what_is_measured(phase: int, text: str, share: bool) -> None:
    shape = "dim: 2 dim: 3 dim: 257 dim: 321"
    text = INPUT.replace("dim: 2 dim: 3 dim: 33 dim: 41", shape) + text.replace("dim: 1280", "dim: 81920")
    step(build(text, phase, share))
    tracemalloc.start()
    try:
        net = build(text, phase, share)
        step(net)
        _, measured = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    plan = net.plan_memory()
    predicted = plan.total if share else plan.total_unshared
    assert abs(predicted - measured) < 0.1 * measured


def test_blobs_that_are_kept_can_be_read() -> None:
    param = parse(INPUT + BODY, caffe_pb2.NetParameter(), "net")
    device.set_random_seed(1)
    kept = Net(param, caffe_pb2.TEST, share_memory=True, keep=["b", "join"])
    device.set_random_seed(1)
    plain = Net(param, caffe_pb2.TEST)
    values = np.random.default_rng(2).standard_normal(plain.blobs["x"].shape)
    for net in (kept, plain):
        net.forward(x=values)
    for name in ("b", "join", "flat"):
        assert np.array_equal(kept.blobs[name].data, plain.blobs[name].data)
    assert kept.plan_memory().total > build(INPUT + BODY, caffe_pb2.TEST, True).plan_memory().total


def test_shapes_that_come_back_are_planned_once() -> None:
    shared, plain = (build(INPUT + BODY, caffe_pb2.TEST, share) for share in (True, False))
    plans = []
    for size in ((33, 41), (49, 60), (20, 31), (33, 41), (49, 60)):
        values = np.random.default_rng(3).standard_normal((2, 3, *size))
        for net in (shared, plain):
            net.blobs["x"].reshape(*values.shape)
            net.reshape()
        plans.append(shared.plan_memory())
        assert np.array_equal(shared.forward(x=values)["flat"], plain.forward(x=values)["flat"])
    assert plans[0] is plans[3]
    assert plans[1] is plans[4]


def test_frozen_parameters_take_no_memory_for_gradients() -> None:
    frozen = BODY.replace("convolution_param", "param { lr_mult: 0 } param { lr_mult: 0 } convolution_param", 1)
    net = build(INPUT + frozen + LOSS, caffe_pb2.TRAIN, True)
    step(net)
    assert [blob.buffer("diff").allocated > 0 for blob in net.learnable_params] == [False, False, *[True] * 6]
    sizes = [blob.count for blob in net.learnable_params]
    assert net.plan_memory().params == 4 * (sum(sizes) + sum(sizes[2:]))


@pytest.fixture
def _no_collection() -> Iterator[None]:
    """Without Python's search for cycles of references, which comes when it likes."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
@pytest.mark.parametrize("options", [{}, {"share_memory": True}, {"recompute": "auto"}], ids=str)
def test_a_net_that_is_dropped_is_gone_at_once(options: dict[str, Any]) -> None:
    net = Net(parse(INPUT + BODY + LOSS, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN, **options)
    step(net)
    left = [weakref.ref(net), *map(weakref.ref, net.layer_list)]
    del net
    assert not [reference() for reference in left if reference() is not None]


@pytest.mark.slow
@pytest.mark.usefixtures("frees_nets")
@originals.needs_originals
@originals.each_small
def test_originals(path: Path, tmp_path: Path) -> None:
    results = []
    for share in (True, False):
        device.set_random_seed(3)
        param = originals._read(path, tmp_path)
        originals._shrink(param)
        originals.narrow(param)
        net = Net(param, caffe_pb2.TRAIN if path.stem == "train" else caffe_pb2.TEST, share_memory=share)
        originals._fill(net)
        originals._feed(net)
        device.set_random_seed(3)
        outputs = [array.copy() for array in net.forward().values()]
        if path.stem == "train":
            net.backward()
        results.append(outputs + [blob.diff.copy() for blob in net.learnable_params])
    for found, expected in zip(*results, strict=True):
        assert np.array_equal(found, expected)
