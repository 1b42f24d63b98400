"""Recorded passes: the same bits as those of the layers, and never of weights, shapes or threads that have changed."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.layers.base import is_recordable, recordable
from segcaffe.layers.neuron.abs_val import AbsVal
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, LayerParameter, NetParameter
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

Array = np.ndarray
FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.1 }'
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 } } } '
TEXT = (
    INPUT
    + f"""
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "a"
         convolution_param {{ num_output: 10 kernel_size: 3 {FILL} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "a" top: "a" }}
layer {{ name: "scale" type: "Scale" bottom: "a" top: "a" scale_param {{ bias_term: true }} }}
layer {{ name: "prelu" type: "PReLU" bottom: "a" top: "a" }}
layer {{ name: "pool" type: "Pooling" bottom: "a" top: "b" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "depthwise" type: "Convolution" bottom: "b" top: "c"
         convolution_param {{ num_output: 10 kernel_size: 3 pad: 1 group: 10 {FILL} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "b" bottom: "c" top: "d" }}
layer {{ name: "join" type: "Concat" bottom: "b" bottom: "d" top: "e" }}
layer {{ name: "dense" type: "InnerProduct" bottom: "e" top: "f" inner_product_param {{ num_output: 7 {FILL} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "f" top: "f" relu_param {{ negative_slope: 0.1 }} }}
layer {{ name: "drop" type: "Dropout" bottom: "f" top: "f" }}
layer {{ name: "prob" type: "Softmax" bottom: "f" top: "prob" }}
"""
)
CHANGES: dict[str, Callable[[Array], None]] = {
    "one value": lambda values: values.ravel().__setitem__(0, 0.75),
    "all values": lambda values: values.ravel().__iadd__(np.linspace(0.1, 0.5, values.size, dtype=values.dtype)),
    "to NaN": lambda values: values.__setitem__(..., np.nan),
}


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = parallel.num_threads()
    yield
    parallel.set_num_threads(before)


def _net(text: str = TEXT, phase: int = TEST, **options: bool) -> Net:
    net = Net(parse(text, NetParameter()), phase=phase, **options)
    if "norm" in net.params:
        for blob, value in zip(net.params["norm"], (0.1, 1.5, 1), strict=True):
            blob.data[...] = value
    return net


def _fill(net: Net, seed: int = 0) -> dict[str, Array]:
    """Values for all inputs of the net, put into them."""
    rng = np.random.default_rng(seed)
    inputs = {name: rng.standard_normal(net.blobs[name].shape).astype(np.float32) for name in net.inputs}
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return inputs


def _plays(net: Net) -> int:
    """How often the net's present recording was played."""
    recorded = net._recorder._recording
    return 0 if recorded is None else recorded.plays


def _played(net: Net, times: int = 4) -> dict[str, bytes]:
    """The outputs of a pass that was played at least ``times`` times."""
    passes = itertools.count()
    found = net.forward()
    while _plays(net) < times:
        found = net.forward()
        assert next(passes) < 40
    return {name: values.tobytes() for name, values in found.items()}


def _as_layers_say(net: Net) -> dict[str, bytes]:
    """The outputs of a pass of which nothing is recorded or played."""
    recorder, net._recorder = net._recorder, None
    found = {name: values.tobytes() for name, values in net.forward().items()}
    net._recorder = recorder
    return found


def _same_net(net: Net, text: str = TEXT, **options: bool) -> Net:
    """Another net with the parameters and inputs of ``net``, of which nothing is recorded."""
    other = _net(text, **options)
    for mine, theirs in zip(other.layer_list, net.layer_list, strict=True):
        for blob, values in zip(mine.blobs, theirs.blobs, strict=True):
            blob.data[...] = values.data
    for name in net.inputs:
        other.blobs[name].reshape(*net.blobs[name].shape)
        other.blobs[name].data[...] = net.blobs[name].data
    return other


@pytest.mark.parametrize("options", [{}, {"share_memory": True}, {"fuse": False}], ids=lambda options: str(options))
@pytest.mark.parametrize("threads", [1, 2])
def test_bits_are_those_of_the_layers(options: dict[str, bool], threads: int) -> None:
    parallel.set_num_threads(threads)
    net = _net(**options)
    for seed in range(8):
        _fill(net, seed)
        found = {name: values.tobytes() for name, values in net.forward().items()}
        assert found == {n: v.tobytes() for n, v in _same_net(net, **options).forward().items()}
    assert _plays(net) == 0, "reading parameters by `data` counts as writing them"
    for seed in range(8):
        _fill(net, seed)
        assert _played(net) == _as_layers_say(net)


def test_every_layer_of_a_plain_net_is_played() -> None:
    net = _net()
    _played(net)
    assert [type(part).__name__ for part in net._recorder._recording._parts] == ["Played"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kept", [False, True], ids=["asked for now", "kept from before"])
@pytest.mark.parametrize("layer", ["conv", "norm", "scale", "prelu", "depthwise", "dense"])
def test_written_parameters_are_seen(layer: str, kept: bool, change: str) -> None:
    net = _net()
    for index, blob in enumerate(net.params[layer]):
        _fill(net, index)
        mine = blob.data[:] if kept else None
        before = _played(net)
        for values in (mine, mine if kept else None):
            CHANGES[change](blob.data if values is None else values)
            found = {name: value.tobytes() for name, value in net.forward().items()}
            assert found == _as_layers_say(_same_net(net))
            if change == "to NaN":
                blob.data[...] = 0.5
        assert found != before or change == "to NaN"


def test_only_of_parameters_that_someone_holds_are_copies_kept() -> None:
    net = _net()
    _fill(net)
    held = [net.params["conv"][0].data, net.params["dense"][1].data[2:]]
    _played(net)
    assert len(net._recorder._recording._basis._copies) == 2
    held.clear()
    _played(net)
    net.params["conv"][0].data[...] = 0.5
    _played(net)
    assert net._recorder._recording._basis._copies == []


def test_what_a_recording_keeps_is_in_the_memory_plan() -> None:
    net = _net()
    _fill(net)
    assert net._recorder.held == 0
    _played(net)
    assert 0 < net._recorder.held <= net.plan_memory().prepared


def test_nothing_is_saved_for_a_backward_pass_that_is_not_made() -> None:
    for text, saved in ((TEXT, set()), ("force_backward: true " + TEXT, {"scale", "prelu"})):
        net = _net(text)
        net.forward()
        assert {layer.name for layer in net.layers if "input" in layer.saved_blobs} == saved


def test_arrays_of_other_libraries_are_seen_to_be_written() -> None:
    net = _net()
    _fill(net)
    views = [
        memoryview(net.params["dense"][0].data),
        np.from_dlpack(net.params["conv"][0]),
        net.params["prelu"][0].data.T,
    ]
    before = _played(net)
    np.asarray(views[0])[0, 0] += 1
    middle = net.forward()["prob"].tobytes()
    views[1][0, 0] += 1
    last = net.forward()["prob"].tobytes()
    assert len({before["prob"], middle, last}) == 3
    assert {"prob": last} == _as_layers_say(_same_net(net))


def test_weights_shared_with_a_net_that_learns_are_seen() -> None:
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "loss" }'
    target = 'layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 2 dim: 7 } } }'
    learner, net = _net(TEXT + target + loss, TRAIN), _net()
    net.share_with(learner)
    _fill(net)
    before = _played(net)
    _fill(learner)
    learner.forward()
    learner.backward()
    for blob in learner.learnable_params:
        blob.array -= 0.1 * blob.grad
    found = net.forward()["prob"].tobytes()
    assert found != before["prob"]
    assert {"prob": found} == _as_layers_say(_same_net(net))


def test_sharing_later_is_seen() -> None:
    net, other = _net(), _net()
    _fill(net)
    _played(net)
    net.share_with(other)
    assert net.forward()["prob"].tobytes() == _as_layers_say(_same_net(net))["prob"]


def test_loaded_weights_are_seen(tmp_path: Path) -> None:
    net = _net()
    _net().save(tmp_path / "other.caffemodel")
    _fill(net)
    before = _played(net)
    net.copy_from(tmp_path / "other.caffemodel")
    found = net.forward()["prob"].tobytes()
    assert found != before["prob"]
    assert {"prob": found} == _as_layers_say(_same_net(net))


@pytest.mark.parametrize("share_memory", [False, True])
def test_other_shapes_are_recorded_anew(share_memory: bool) -> None:
    text = TEXT.split('layer { name: "dense"')[0]
    net = _net(text, share_memory=share_memory)
    for size in (12, 9, 20, 12):
        net.blobs["x"].reshape(1, 3, size, size)
        net.reshape()
        _fill(net, size)
        first = net.forward()["e"].tobytes()
        assert first == _played(net)["e"]
        assert first == _same_net(net, text).forward()["e"].tobytes()


def test_copies_of_a_net_have_recordings_of_their_own() -> None:
    net = _net()
    _fill(net)
    wanted = _played(net)
    other = copy.deepcopy(net)
    assert _played(other) == wanted
    other.params["conv"][0].data[...] *= 2
    other.blobs["x"].data[...] += 1
    changed = _played(other)
    assert changed != wanted
    assert _played(net) == wanted
    assert _played(other) == changed


def test_blobs_that_a_script_puts_in_are_seen() -> None:
    net = _net()
    _fill(net)
    before = _played(net)
    weight = Blob(net.params["dense"][0].shape)
    weight.data[...] = np.linspace(-0.1, 0.1, weight.count).reshape(weight.shape)
    net.params["dense"][0] = weight
    found = net.forward()["prob"].tobytes()
    assert found != before["prob"]
    assert {"prob": found} == _as_layers_say(net)


def test_another_thread_runs_the_layers() -> None:
    net = _net()
    _fill(net)
    found = [_played(net)]
    thread = threading.Thread(target=lambda: found.append(_played(net)))
    thread.start()
    thread.join()
    assert found[0] == found[1] == _played(net)


def test_hooks_and_parts_of_a_pass_between_played_ones() -> None:
    net = _net()
    _fill(net)
    wanted = _played(net)
    seen: list[int] = []
    net.before_forward(seen.append)
    net.forward()
    assert seen == list(range(len(net.layer_list)))
    net._before_forward.clear()
    net.forward(end="pool")
    net.blobs["b"].data[...] = 1
    net.forward(start="depthwise")
    assert {name: values.tobytes() for name, values in net.forward().items()} == wanted


def test_what_backward_reads_is_there_after_a_played_pass() -> None:
    net, other = (_net("force_backward: true " + TEXT) for _ in range(2))
    other.share_with(net)
    gradient = np.ones_like(net.blobs["prob"].data)
    gradient[:, 0] = 3
    for seed in range(6):
        grads = []
        for each in (net, other):
            _fill(each, seed)
            each.blobs["prob"].diff[...] = gradient
            if each is other:
                _as_layers_say(other)
            else:
                each.forward()
            grads.append(each.backward()["x"].tobytes())
        assert grads[0] == grads[1]
    _fill(net, 5)
    _played(net)
    net.blobs["prob"].diff[...] = gradient
    assert net.backward()["x"].tobytes() == grads[1]


class _OwnForward(AbsVal):
    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].array = abs(bottom[0].array) + 1


class _MarkedForward(AbsVal):
    @recordable
    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().forward(bottom, top)


def test_a_forward_of_its_own_is_recorded_only_where_it_is_marked() -> None:
    param = LayerParameter(name="layer", type="AbsVal")
    layers = [cls(param, TEST) for cls in (AbsVal, _OwnForward, _MarkedForward, type("Sub", (AbsVal,), {}))]
    assert [is_recordable(layer) for layer in layers] == [True, False, True, True]
    layers[0].forward = layers[1].forward  # type: ignore[method-assign]
    assert not is_recordable(layers[0])


USER = """
import segcaffe

class Add(segcaffe.Layer):
    def setup(self, bottom, top): self.passes = 0
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = bottom[0].data + self.passes

class Meddle(Add):
    net = None
    def forward(self, bottom, top):
        super().forward(bottom, top)
        if self.net is not None and self.passes % 7 == 0:
            self.net.params["after"][0].data[...] *= 1.5

class Grow(Add):
    def reshape(self, bottom, top): top[0].reshape(2 + getattr(self, "passes", 0) // 8, *bottom[0].data.shape[1:])
    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = bottom[0].data.sum() + self.passes
"""


@pytest.mark.parametrize("user", ["Add", "Meddle", "Grow"])
def test_layers_of_users_run_between_what_is_played(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recorded_users.py").write_text(USER)
    monkeypatch.syspath_prepend(str(tmp_path))
    dense = f'type: "InnerProduct" inner_product_param {{ num_output: 5 {FILL} }}'
    text = (
        INPUT
        + f'layer {{ name: "before" bottom: "x" top: "a" {dense} }}'
        + 'layer { name: "user" type: "Python" bottom: "a" top: "b" '
        + f'python_param {{ module: "recorded_users" layer: "{user}" }} }}'
        + f'layer {{ name: "after" bottom: "b" top: "c" {dense} }} '
    )
    played, other = _net(text), _net(text)
    for mine, theirs in zip(other.layer_list, played.layer_list, strict=True):
        for blob, values in zip(mine.blobs, theirs.blobs, strict=True):
            blob.data[...] = values.data
    for net in (played, other):
        if user == "Meddle":
            net.layer_dict["user"].net = net
    most = 0
    for seed in range(30):
        found = []
        for net in (played, other):
            _fill(net, seed)
            found.append(_as_layers_say(net) if net is other else {n: v.tobytes() for n, v in net.forward().items()})
        assert found[0] == found[1]
        most = max(most, _plays(played))
    assert most >= 3


class _Uses:
    """What scripts do to a net between its passes, done to two nets alike."""

    def __init__(self, nets: Sequence[Net], seed: int) -> None:
        self.nets, self.rng = nets, np.random.default_rng(seed)
        self.kept: list[list[Array]] = []

    def parameters(self) -> list[Array]:
        layer = self.rng.choice(list(self.nets[0].params))
        index = int(self.rng.integers(len(self.nets[0].params[layer])))
        return [net.params[layer][index].data for net in self.nets]

    def write(self) -> None:
        self._multiply(self.parameters())

    def keep(self) -> None:
        self.kept.append(self.parameters())

    def write_to_kept(self) -> None:
        if self.kept:
            self._multiply(self.kept[int(self.rng.integers(len(self.kept)))])

    def forget(self) -> None:
        del self.kept[:1]

    def reshape(self) -> None:
        batch = int(self.rng.integers(1, 4))
        for net in self.nets:
            net.blobs["x"].reshape(batch, 3, 12, 12)
            net.reshape()

    def other_threads(self) -> None:
        parallel.set_num_threads(int(self.rng.integers(1, 3)))

    def watch(self) -> None:
        net = self.nets[0]
        net.before_forward(lambda _: None)
        net.forward()
        net._before_forward.clear()

    def from_a_thread(self) -> None:
        thread = threading.Thread(target=self.nets[0].forward)
        thread.start()
        thread.join()

    def copy(self) -> None:
        copy.deepcopy(self.nets[0]).forward()

    def _multiply(self, arrays: Sequence[Array]) -> None:
        factor = np.float32(1 + self.rng.random() / 10)
        for array in arrays:
            array *= factor


@pytest.mark.parametrize("share_memory", [False, True])
def test_uses_in_any_order(share_memory: bool) -> None:
    net = _net(share_memory=share_memory)
    other = _same_net(net, share_memory=share_memory)
    other._recorder = None
    uses = _Uses((net, other), seed=int(share_memory))
    names = [name for name, value in vars(_Uses).items() if not name.startswith("_") and name != "parameters"]
    most = 0
    for _ in range(80):
        getattr(uses, uses.rng.choice(names))()
        for _ in range(int(uses.rng.integers(1, 6))):
            for each, values in zip((net, other), 2 * [uses.rng.standard_normal(net.blobs["x"].shape)], strict=True):
                each.blobs["x"].data[...] = values
            assert net.forward()["prob"].tobytes() == other.forward()["prob"].tobytes()
        most = max(most, _plays(net))
    assert most >= 5
