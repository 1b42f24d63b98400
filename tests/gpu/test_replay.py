"""Layers recorded as CUDA graphs: replayed passes give what passes layer by layer give, and stale ones are not used."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.net import replay
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import fake_gpu

pytestmark = pytest.mark.usefixtures("host_device")

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" top: "label"
        input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } shape { dim: 2 dim: 1 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 3 pad: 1 stride: 1 } }
layer { name: "drop" type: "Dropout" bottom: "p" top: "d" dropout_param { dropout_ratio: 0.3 } }
layer { name: "norm" type: "BatchNorm" bottom: "d" top: "n" }
layer { name: "score" type: "Convolution" bottom: "n" top: "s"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "label" top: "l" }
"""


@pytest.fixture(autouse=True)
def no_replay_afterwards() -> Iterator[None]:
    yield
    device.configure(graphs=False)


def _train(passes: int, replayed: bool, sizes: tuple[int, ...] = ()) -> list[dict[str, np.ndarray]]:
    """Values and gradients after each pass; the batch size may change from pass to pass."""
    device.configure(graphs=replayed)
    device.set_random_seed(4)
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN)
    rng = np.random.default_rng(2)
    results = []
    for k in range(passes):
        if sizes and net.blobs["x"].shape[0] != sizes[k]:
            net.blobs["x"].reshape(sizes[k], 3, 6, 5)
            net.blobs["label"].reshape(sizes[k], 1, 6, 5)
        net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
        net.blobs["label"].data[...] = rng.integers(0, 3, net.blobs["label"].shape)
        net.forward()
        net.clear_param_diffs()
        net.backward()
        values = {"loss": np.array(net.loss), "s": net.blobs["s"].data.copy(), "x": net.blobs["x"].diff.copy()}
        results.append(values | {name: blobs[0].diff.copy() for name, blobs in net.params.items()})
        for blobs in net.params.values():
            blobs[0].array[...] -= 0.05 * blobs[0].grad
    return results


def _assert_equal(received: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]]) -> None:
    for k, (ours, theirs) in enumerate(zip(received, expected, strict=True)):
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name], values, err_msg=f"pass {k}: {name}")


def test_replayed_passes_equal_those_layer_by_layer() -> None:
    launches = fake_gpu._Graph.launches
    _assert_equal(_train(6, replayed=True), _train(6, replayed=False))
    assert fake_gpu._Graph.launches - launches >= 6


def test_layers_that_draw_or_look_at_the_host_are_not_recorded() -> None:
    device.configure(graphs=True)
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN)
    for _ in range(5):
        net.forward()
    parts = net._graphs["forward"]._parts
    assert parts is not None
    names = [([net.layers[i].name for i in part.layers], part.recordable) for part in parts]
    alone = [layers for layers, recordable in names if not recordable]
    assert ["drop"] in alone
    assert ["loss"] in alone
    assert (["conv", "relu", "pool"], True) in names


def test_other_shapes_are_recorded_anew() -> None:
    sizes = (2, 2, 2, 2, 3, 3, 3, 3, 2, 2)
    _assert_equal(_train(10, replayed=True, sizes=sizes), _train(10, replayed=False, sizes=sizes))


def test_a_part_of_the_net_run_alone_makes_the_net_record_anew() -> None:
    device.configure(graphs=True)
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
    for _ in range(5):
        net.forward()
    assert "forward" in net._graphs
    net.forward(end="relu")
    assert "forward" not in net._graphs


def _replayed_net() -> Net:
    """A net after the passes that decide what is recorded."""
    device.configure(graphs=True)
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
    for _ in range(2):
        net.forward()
    return net


def test_no_memory_while_recording_ends_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _replayed_net()
    pool = net.layers[3]
    forward = pool.forward

    def exhausted(*arguments: Any) -> None:
        if fake_gpu.tape.records is not None:
            raise MemoryError("Out of memory allocating 1,024 bytes (allocated so far: 512 bytes).")
        forward(*arguments)

    monkeypatch.setattr(pool, "forward", exhausted)
    for _ in range(5):
        net.forward()
    assert fake_gpu.tape.records is None
    parts = net._graphs["forward"]._parts
    assert parts is not None
    alone = [[net.layers[i].name for i in part.layers] for part in parts if not part.recordable]
    assert ["pool"] in alone


def test_a_recording_that_cuda_refuses_at_its_end_is_run_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _replayed_net()
    end = fake_gpu._Stream.end_capture

    def refuse(stream: Any) -> None:
        end(stream)
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(fake_gpu._Stream, "end_capture", refuse)
    launches = fake_gpu._Graph.launches
    for _ in range(3):
        net.blobs["x"].data[...] = 1
        received = net.forward()
    assert fake_gpu._Graph.launches == launches
    device.configure(graphs=False)
    np.testing.assert_array_equal(net.forward()["l"], received["l"])


def test_off_by_default_and_in_cpu_mode() -> None:
    assert not replay.replay_wanted()
    device.configure(graphs=True)
    assert replay.replay_wanted()
    device.set_mode_cpu()
    assert not replay.replay_wanted()


def test_a_net_that_is_dropped_is_gone_at_once() -> None:
    device.configure(graphs=True)
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TRAIN)
    for _ in range(4):
        net.forward()
        net.backward()
    assert any(part.recordable for each in net._graphs.values() for part in each._parts or ())
    left = [weakref.ref(net), *map(weakref.ref, (*net.layer_list, *net._graphs.values()))]
    gc.disable()
    try:
        del net
        assert not [reference() for reference in left if reference() is not None]
    finally:
        gc.enable()


def _error_of(run: Callable[[], object]) -> SegcaffeError:
    with pytest.raises(SegcaffeError) as caught:
        run()
    return caught.value


def test_an_error_in_a_replayed_pass_names_its_layer_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    net = Net(tmp_path / "net.prototxt", caffe_pb2.TEST)
    net.settings = device.Settings(graphs=True)
    for _ in range(4):
        net.forward()
        net.backward()
    assert {"forward", "backward"} <= set(net._graphs)
    loss = net.layers[-1]

    def fail(*arguments: Any) -> None:
        raise DataError("The label is none.")

    monkeypatch.setattr(loss, "forward", fail)
    monkeypatch.setattr(loss, "backward", fail)
    line = NET[: NET.index('name: "loss"')].count("\n") + 1
    for run in (net.forward, net.backward):
        error = _error_of(run)
        assert (error.layer, error.place and error.place.line) == ("loss", line)
        assert "forward" in net._graphs


def test_a_net_may_have_settings_of_its_own() -> None:
    nets = [Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST) for _ in range(2)]
    nets[0].settings = device.Settings(graphs=True)
    for net in nets:
        net.forward()
    assert ["forward" in net._graphs for net in nets] == [True, False]
    assert not replay.replay_wanted()


def test_a_recording_holds_for_the_settings_it_was_made_with() -> None:
    net = _replayed_net()
    recorded = net._graphs["forward"]
    net.forward()
    assert net._graphs["forward"] is recorded
    net.settings = device.Settings(math="tf32", graphs=True)
    net.forward()
    assert net._graphs["forward"] is not recorded
