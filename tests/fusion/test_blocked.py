"""Channels in blocks: the values of all blobs are those of the layers one by one, whoever looks when."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from segcaffe.blob.blocked import BlockedBlob
from segcaffe.kernels.vector.tile import vector_length
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

pytestmark = pytest.mark.skipif(vector_length("f4") < 8, reason="This processor's vectors are too short for blocks.")
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 15 } } }'
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.1 }'


def conv(name: str, bottom: str, options: str, kind: str = "Convolution") -> str:
    return f"""layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}"
      convolution_param {{ {options} {FILL} }} }}"""


def depthwise(name: str, bottom: str, outputs: int, stride: int = 1) -> str:
    return conv(name, bottom, f"num_output: {outputs} group: {outputs} kernel_size: 3 pad: 1 stride: {stride}")


def pointwise(name: str, bottom: str, outputs: int) -> str:
    return conv(name, bottom, f"num_output: {outputs} kernel_size: 1")


def in_place(kind: str, blob: str, options: str = "") -> str:
    return f'layer {{ name: "{blob}/{kind}" type: "{kind}" bottom: "{blob}" top: "{blob}" {options} }}'


def normed(blob: str) -> str:
    return in_place("BatchNorm", blob) + in_place("Scale", blob, "scale_param { bias_term: true }")


FIRST = conv("a", "x", "num_output: 32 kernel_size: 3 stride: 2 pad: 1") + in_place("ReLU", "a")
CHAIN = (
    FIRST + depthwise("b", "a", 32) + normed("b") + in_place("ReLU", "b") + pointwise("c", "b", 48)
    + in_place("PReLU", "c") + depthwise("d", "c", 48, 2) + in_place("ReLU", "d") + pointwise("e", "d", 21)
)  # fmt: skip
NETS = {
    "chain": (CHAIN, "a b c d"),
    "read by several": (
        FIRST + depthwise("b", "a", 32) + pointwise("c", "b", 16) + pointwise("d", "b", 7)
        + depthwise("e", "c", 16) + pointwise("f", "c", 5) + pointwise("g", "e", 9), "a b c e",
    ),
    "a type of its own": (
        FIRST + conv("b", "a", "num_output: 32 kernel_size: 3 pad: 1", "DepthwiseConvolution") + pointwise("c", "b", 5),
        "a b",
    ),
    "a residual block": (
        FIRST + depthwise("s", "a", 32) + pointwise("t", "s", 24) + pointwise("b", "t", 64)
        + depthwise("c", "b", 64) + in_place("ReLU", "c") + pointwise("d", "c", 24)
        + 'layer { name: "sum" type: "Eltwise" bottom: "t" bottom: "d" top: "sum" }'
        + depthwise("e", "sum", 24), "a b c s",
    ),
    "to be read": (
        FIRST + depthwise("b", "a", 32) + pointwise("c", "b", 48) + depthwise("kept", "c", 48)
        + pointwise("d", "kept", 5), "a b",
    ),
}  # fmt: skip
OTHERS = {
    "no kernel of 3x3": (
        FIRST + conv("b", "a", "num_output: 32 group: 32 kernel_size: 5 pad: 2") + pointwise("c", "b", 5)
    ),
    "no whole blocks": pointwise("a", "x", 24) + depthwise("b", "a", 24) + pointwise("c", "b", 5),
    "read by a layer": FIRST + depthwise("b", "a", 32) + 'layer { name: "c" type: "AbsVal" bottom: "b" top: "c" }',
    "written in between": FIRST + in_place("AbsVal", "a") + depthwise("b", "a", 32) + pointwise("c", "b", 5),
    "an output": FIRST + depthwise("b", "a", 32),
    "force_backward": "force_backward: true " + CHAIN,
    "debug_info": "debug_info: true " + CHAIN,
}  # fmt: skip


def build(text: str, fuse: bool = True, **options: object) -> Net:
    """A net whose parameters are the same each time."""
    net = Net(parse(text, caffe_pb2.NetParameter()), phase=caffe_pb2.TEST, fuse=fuse, **options)
    rng = np.random.default_rng(3)
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data[...] = rng.uniform(0.2, 0.6, blob.shape) * rng.choice([-1, 1], blob.shape)
        if layer.type == "BatchNorm":
            layer.blobs[1].data[...] = np.abs(layer.blobs[1].data)
            layer.blobs[2].data[...] = 1
    net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    return net


def in_blocks(net: Net) -> list[str]:
    """Names of the blobs whose values lie in blocks now, Splits' left out."""
    found = [name for name, blob in net.blobs.items() if isinstance(blob, BlockedBlob) and blob.order.lanes > 1]
    return sorted(name for name in found if "_split_" not in name)


def check(net: Net, plain: Net, *names: str) -> None:
    """That blobs, all unless named, have the values that they have without fusion."""
    for name in names or plain.blobs:
        wanted = plain.blobs[name].data
        np.testing.assert_allclose(net.blobs[name].data, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("case", NETS)
def test_all_blobs_have_their_values(case: str) -> None:
    text, names = NETS[case]
    net, plain = build(INPUT + text, keep=["kept"] if "kept" in text else []), build(INPUT + text, fuse=False)
    for count in range(7):
        # Passes that are made, recorded and played, with a look at all blobs now and then.
        for one in (net, plain):
            one.blobs["x"].data[...] = np.random.default_rng(count).standard_normal(one.blobs["x"].shape)
            one.forward()
        assert in_blocks(net) == names.split()
        check(net, plain, *net.outputs)
        if count in (1, 5):
            check(net, plain)
            assert in_blocks(net) == []


@pytest.mark.parametrize("case", OTHERS)
def test_other_blobs_lie_as_always(case: str) -> None:
    net, plain = build(INPUT + OTHERS[case]), build(INPUT + OTHERS[case], fuse=False)
    net.forward(), plain.forward()
    assert in_blocks(net) == []
    check(net, plain)


@pytest.fixture
def nets() -> tuple[Net, Net]:
    return build(INPUT + CHAIN), build(INPUT + CHAIN, fuse=False)


def test_who_has_an_array_finds_each_pass_in_it(nets: tuple[Net, Net]) -> None:
    net, plain = nets
    array, piece = net.blobs["b"].data, net.blobs["d"].data[1, :5]
    for scale in (1, 2, 3, 4, 5):
        for one in nets:
            one.blobs["x"].data[...] *= scale
            one.forward()
        assert in_blocks(net) == []
        np.testing.assert_allclose(array, plain.blobs["b"].data, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(piece, plain.blobs["d"].data[1, :5], rtol=1e-4, atol=1e-4 * np.abs(piece).max())
    del piece
    net.params["a"][0].data[...] += 0
    net.forward()
    assert in_blocks(net) == ["c", "d"]
    np.testing.assert_allclose(array, plain.blobs["b"].data, rtol=1e-4, atol=1e-4)
    check(net, plain)


def test_a_recording_lets_arrays_go(nets: tuple[Net, Net]) -> None:
    net, _ = nets
    for _ in range(4):
        net.forward()
    net.params["b"][0].data[...] *= 2
    for _ in range(4):
        net.forward()
        assert in_blocks(net) == ["a", "b", "c", "d"]


def test_parts_of_a_pass(nets: tuple[Net, Net]) -> None:
    net, plain = nets
    for one in nets:
        for _ in range(3):
            one.forward()
        one.blobs["b"].data[...] = np.abs(one.blobs["b"].data) + 1
        one.forward(start="c")
    assert in_blocks(net) == ["a"]
    check(net, plain)
    for one in nets:
        one.blobs["x"].data[...] *= 3
        one.forward(end="b")
    check(net, plain, "a", "b")
    for one in nets:
        one.forward()
    assert in_blocks(net) == ["a", "b", "c", "d"]
    for one in nets:
        # What lies in blocks is read by a part of a pass.
        one.forward(start="d", end="d")
    check(net, plain)


def test_hooks_see_the_values(nets: tuple[Net, Net]) -> None:
    seen: list[list[np.ndarray]] = [[], []]
    for one, kept in zip(nets, seen, strict=True):
        one.forward()
        one.after_forward(lambda _, one=one, kept=kept: kept.extend(blob.data.copy() for blob in one.blobs.values()))
        one.forward()
    for found, wanted in zip(*seen, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_other_shapes(nets: tuple[Net, Net]) -> None:
    for shape in ((1, 3, 9, 8), (3, 3, 21, 30), (2, 3, 17, 15)):
        for one in nets:
            one.forward()
            one.blobs["x"].reshape(*shape)
            one.blobs["x"].data[...] = np.random.default_rng(1).standard_normal(shape)
            one.reshape()
            one.forward()
        assert in_blocks(nets[0]) == ["a", "b", "c", "d"]
        check(*nets)


def test_shared_memory_is_left_alone_by_who_looks() -> None:
    net, plain = build(INPUT + CHAIN, share_memory=True), build(INPUT + CHAIN, fuse=False)
    for _ in range(5):
        net.forward(), plain.forward()
        assert in_blocks(net) == ["a", "b", "c", "d"]
        for name in "abcd":
            assert net.blobs[name].data.shape == plain.blobs[name].shape
        check(net, plain, "e")


def test_a_written_weight_is_seen(nets: tuple[Net, Net]) -> None:
    for factor in (1, 2, 3):
        for one in nets:
            one.params["b"][0].data[...] *= factor
            one.params["c"][0].data[...] *= factor
            for _ in range(4):
                one.forward()
        check(*nets, "e")
        assert in_blocks(nets[0]) == ["a", "b", "c", "d"]


def test_bits_do_not_depend_on_threads(nets: tuple[Net, Net]) -> None:
    net, _ = nets
    before, results = parallel.num_threads(), []
    try:
        for count in (1, 2, 3):
            parallel.set_num_threads(count)
            for _ in range(4):
                results.append(net.forward()["e"].copy())
    finally:
        parallel.set_num_threads(before)
    assert all(np.array_equal(result, results[0]) for result in results)


def test_float64_and_training_nets_lie_as_always() -> None:
    plain = build(INPUT + CHAIN, fuse=False, dtype=np.float64)
    net = build(INPUT + CHAIN, dtype=np.float64)
    net.forward(), plain.forward()
    assert in_blocks(net) == []
    check(net, plain)
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "e" bottom: "e2" top: "loss" }'
    other = pointwise("e2", "d", 21)
    assert not build(INPUT + CHAIN + other + loss).graph.blocked


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net.blobs["b"]))])
def test_copies_have_the_values(nets: tuple[Net, Net], duplicate: object) -> None:
    net, plain = nets
    net.forward(), plain.forward()
    made = duplicate(net)  # type: ignore[operator]
    blob = made.blobs["b"] if isinstance(made, Net) else made
    np.testing.assert_allclose(blob.data, plain.blobs["b"].data, rtol=1e-4, atol=1e-4)
    check(net, plain)


def test_blobs_can_be_assigned_and_taken_over(nets: tuple[Net, Net]) -> None:
    net, _ = nets
    net.forward()
    blob = net.blobs["b"]
    values = np.arange(blob.count, dtype=np.float32)
    blob.take_over(values.copy())
    np.testing.assert_array_equal(blob.data.ravel(), values)
    net.forward()
    blob.data = 7
    assert (blob.array == 7).all()
