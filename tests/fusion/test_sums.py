"""Sums that convolutions compute: the values of all blobs are those of the layers one by one, whoever looks when."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from segcaffe.fusion.running import Absorbed, Summing, activate
from segcaffe.net.net import Net
from segcaffe.net.scouting import calls_of
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 dim: 9 dim: 8 } } }'
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.1 }'
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }'
SCALE = 'layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }'
SUM = 'layer {{ name: "sum" type: "Eltwise" bottom: "{}" bottom: "{}" top: "z" {} }}'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "z" top: "z" }'
PRELU = 'layer { name: "relu" type: "PReLU" bottom: "z" top: "z" }'
AFTER = 'layer { name: "abs" type: "AbsVal" bottom: "z" top: "out" }'


def conv(name: str, bottom: str, top: str, options: str = "kernel_size: 3 pad: 1") -> str:
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ num_output: 6 {options} {FILL} }} }}"""


BLOCK = conv("conv", "x", "y") + NORM + SCALE + SUM.format("x", "y", "") + RELU + AFTER
NETS = {
    "identity": (BLOCK, ["sum", "relu"]),
    "no rectifier": (conv("conv", "x", "y") + SUM.format("y", "x", "") + AFTER, ["sum"]),
    "slopes": (conv("conv", "x", "y", "kernel_size: 1") + SCALE + SUM.format("x", "y", "") + PRELU, ["sum", "relu"]),
    "depthwise": (conv("conv", "x", "y", "kernel_size: 3 pad: 1 group: 6") + SUM.format("x", "y", "") + RELU,
                  ["sum", "relu"]),
    "two convolutions": (conv("a", "x", "s") + conv("conv", "x", "y") + NORM + SUM.format("s", "y", "") + RELU,
                         ["sum", "relu"]),
    "the other first": (conv("conv", "x", "y") + conv("a", "x", "s") + SUM.format("s", "y", "") + RELU,
                        ["sum", "relu"]),
    "plain coefficients": (conv("conv", "x", "y") + SUM.format("x", "y", "eltwise_param { coeff: 1 coeff: 1 }"),
                           ["sum"]),
}  # fmt: skip
OTHERS = {
    "coefficients": conv("conv", "x", "y") + SUM.format("x", "y", "eltwise_param { coeff: 1 coeff: -1 }"),
    "maximum": conv("conv", "x", "y") + SUM.format("x", "y", "eltwise_param { operation: MAX }"),
    "rectified before": conv("conv", "x", "y") + RELU.replace('"z"', '"y"') + SUM.format("x", "y", ""),
    "read by others": conv("conv", "x", "y") + SUM.format("x", "y", "") + conv("b", "y", "w"),
    "the same": conv("conv", "x", "y") + SUM.format("y", "y", ""),
    "force_backward": "force_backward: true " + conv("conv", "x", "y") + SUM.format("x", "y", ""),
    "debug_info": "debug_info: true " + conv("conv", "x", "y") + SUM.format("x", "y", ""),
    "made late": conv("conv", "x", "y") + 'layer { name: "a" type: "AbsVal" bottom: "x" top: "s" }'
                 + SUM.format("s", "y", ""),
}  # fmt: skip


def build(text: str, fuse: bool = True, **options: object) -> Net:
    """A net whose parameters are the same each time."""
    net = Net(parse(INPUT + text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST, fuse=fuse, **options)
    rng = np.random.default_rng(1)
    for layer in net.layers:
        for blob in layer.blobs:
            low = 0.5 if layer.type == "BatchNorm" else -1.5
            blob.data[...] = rng.uniform(low, 1.5, blob.shape)
    return net


def put(net: Net, seed: int) -> None:
    net.blobs["x"].data[...] = np.random.default_rng(seed).standard_normal(net.blobs["x"].shape)


def summed(net: Net) -> list[str]:
    return [net.layer_names[i] for added in net.graph.sums.values() for i in added.nodes]


def assert_same(ours: Net, plain: Net) -> None:
    """All blobs have the same bits."""
    for name in plain.blobs:
        np.testing.assert_array_equal(ours.blobs[name].data, plain.blobs[name].data, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", NETS)
def test_bits_of_all_blobs(case: str, dtype: type) -> None:
    text, expected = NETS[case]
    ours, plain = build(text, dtype=dtype), build(text, False, dtype=dtype)
    assert (summed(ours), summed(plain)) == (expected, [])
    for seed in range(8):
        for net in (ours, plain):
            put(net, seed)
        outputs = [net.forward() for net in (ours, plain)]
        for name, values in outputs[1].items():
            np.testing.assert_allclose(outputs[0][name], values, rtol=1e-6, atol=1e-6)
        if seed in (0, 5):
            for name in plain.blobs:
                np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", OTHERS)
def test_other_sums_are_left_alone(case: str) -> None:
    text = OTHERS[case]
    ours, plain = build(text), build(text, False)
    assert [name for name in summed(ours) if name == "sum"] == []
    for net in (ours, plain):
        put(net, 0)
        net.forward()
    for name in plain.blobs:
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


def test_a_kept_blob_is_computed() -> None:
    assert summed(build(BLOCK, keep=["y"])) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_passes_are_recorded_whole(threads: int) -> None:
    before = parallel.num_threads()
    parallel.set_num_threads(threads)
    try:
        ours, plain = build(BLOCK), build(BLOCK, False)
        for seed in range(9):
            for net in (ours, plain):
                put(net, seed)
                net.forward()
            np.testing.assert_allclose(ours.blobs["out"].data, plain.blobs["out"].data, rtol=1e-6, atol=1e-6)
        assert ours._recorder._recording.plays > 2
        assert ours._recorder._recording.whole
        # What is read behind a pass that was played is of that pass, and of the next one again.
        for seed in range(9, 12):
            for net in (ours, plain):
                put(net, seed)
                net.forward()
            np.testing.assert_allclose(ours.blobs["y"].data, plain.blobs["y"].data, rtol=1e-6, atol=1e-6)
    finally:
        parallel.set_num_threads(before)


@pytest.mark.parametrize("layer", ["conv", "norm", "scale"])
def test_written_parameters_are_seen(layer: str) -> None:
    ours, plain = build(BLOCK), build(BLOCK, False)
    for net in (ours, plain):
        put(net, 0)
        for _ in range(6):
            net.forward()
        net.params[layer][0].data[...] *= 0.5
        net.forward()
    for name in ("y", "z", "out"):
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cut", range(1, 6))
@pytest.mark.parametrize("passes", [0, 1, 6])
def test_a_pass_in_two_parts(cut: int, passes: int) -> None:
    ours, plain = build(BLOCK), build(BLOCK, False)
    names = [name for name in plain.layer_names if name != "x"]
    for net in (ours, plain):
        put(net, 3)
        for _ in range(passes):
            net.forward()
        net.forward(end=names[cut - 1])
        # What a user changes on the way counts.
        net.blobs["y"].data[...] *= -0.5
        net.forward(start=names[cut])
    for name in ("y", "z", "out"):
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-5, atol=1e-5)
    for net in (ours, plain):
        put(net, 4)
        for _ in range(3):
            net.forward()
    for name in ("out", "z", "y"):
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


def test_telling_kernels_leaves_what_is_due() -> None:
    """Kernels that a part of a pass needs are told by all layers, those among them that do not run now."""
    ours, plain = build(BLOCK), build(BLOCK, False)
    for net in (ours, plain):
        put(net, 3)
        net.forward()
    first = ours.layer_names.index("sum")
    for begin in (0, first):
        activate(ours.graph, ours.layer_list, begin, len(ours.layer_list) - 1, watched=False)
        assert list(calls_of(ours._parts.steps))
    for net in (ours, plain):
        net.forward(start="sum")
    for name in ("z", "out", "y"):
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


def test_hooks_see_what_each_layer_makes() -> None:
    seen: dict[bool, list[float]] = {True: [], False: []}
    for fuse, values in seen.items():
        net = build(BLOCK, fuse)
        put(net, 0)
        net.forward()
        net.after_forward(lambda i, net=net, values=values: values.append(float(np.abs(net.blobs["y"].data).sum())))
        net.forward()
    np.testing.assert_allclose(seen[True][-4:], seen[False][-4:], rtol=1e-6)


@pytest.mark.parametrize("share", [False, True])
def test_other_shapes(share: bool) -> None:
    ours, plain = build(BLOCK, share_memory=share), build(BLOCK, False)
    for seed, side in enumerate((8, 11, 5, 8, 8, 8, 8)):
        for net in (ours, plain):
            net.blobs["x"].reshape(2, 6, side, 8)
            put(net, seed)
            net.forward()
        np.testing.assert_allclose(ours.blobs["out"].data, plain.blobs["out"].data, rtol=1e-6, atol=1e-6)
        if not share:
            np.testing.assert_allclose(ours.blobs["y"].data, plain.blobs["y"].data, rtol=1e-6, atol=1e-6)


def test_a_second_bottom_that_counts_for_others_is_added_by_the_eltwise() -> None:
    text = 'layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 6 dim: 9 dim: 8 } } }'
    text += conv("conv", "x", "y") + SUM.format("y", "s", "eltwise_param { axis: 1 }") + RELU
    ours, plain = build(text), build(text, False)
    for net in (ours, plain):
        put(net, 0)
        net.blobs["s"].data[...] = 0.5
        for _ in range(5):
            net.forward()
    for name in ("z", "y"):
        np.testing.assert_allclose(ours.blobs[name].data, plain.blobs[name].data, rtol=1e-6, atol=1e-6)


def test_a_copy_has_blobs_of_its_own() -> None:
    net = build(BLOCK)
    put(net, 0)
    net.forward()
    other = copy.deepcopy(net)
    put(net, 1)
    net.forward()
    expected = build(BLOCK, False)
    put(expected, 0)
    expected.forward()
    np.testing.assert_allclose(other.blobs["y"].data, expected.blobs["y"].data, rtol=1e-6, atol=1e-6)


def test_the_plan_knows_what_is_alive() -> None:
    text, previous = conv("first", "x", "x0"), "x0"
    for i in range(3):
        block = conv("conv", "x", "y") + SUM.format("x", "y", "") + RELU
        for old, new in (('"x"', f'"{previous}"'), ('"y"', f'"y{i}"'), ('"z"', f'"z{i}"')):
            block = block.replace(old, new)
        text += block.replace('name: "', f'name: "{i}')
        previous = f"z{i}"
    ours, plain = build(text, share_memory=True), build(text, False)
    assert len(ours.graph.sums) == 3
    for seed in range(6):
        for net in (ours, plain):
            put(net, seed)
        found, expected = ours.forward(), plain.forward()
        np.testing.assert_allclose(found[previous], expected[previous], rtol=1e-5, atol=1e-6)
    kinds = [type(layer) for layer in ours.layer_list]
    assert (kinds.count(Summing), kinds.count(Absorbed)) == (3, 6)
    assert [layer.type for layer in ours.layers] == [layer.type for layer in plain.layers]
    assert list(ours.top_names.items()) == list(plain.top_names.items())
