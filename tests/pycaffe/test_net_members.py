"""What pycaffe's Net does besides forward and backward; the module's functions."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import DataError, DeviceError, GraphError, WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.text import parse
from tests.pycaffe.nets import lenet, write_lenet

SCALE = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "double" type: "Scale" bottom: "data" top: "twice" scale_param { filler { value: 2 } } }
layer { name: "square" type: "Power" bottom: "twice" top: "square" power_param { power: 2 } }
"""


def scale_net() -> caffe.Net:
    return caffe.Net(parse(SCALE, NetParameter()), caffe.TEST)


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_forward_all_takes_any_number_of_items(count: int) -> None:
    values = np.random.default_rng(0).random((count, 3)).astype(np.float32)
    out = scale_net().forward_all(blobs=["twice"], data=values)
    assert set(out) == {"twice", "square"}
    np.testing.assert_allclose(out["twice"], 2 * values)
    np.testing.assert_allclose(out["square"], 4 * values**2, rtol=1e-6)


@pytest.mark.parametrize("count", [4, 6])
def test_forward_backward_all_takes_values_and_gradients(count: int) -> None:
    values = np.random.default_rng(0).random((count, 3)).astype(np.float32)
    outs, diffs = scale_net().forward_backward_all(
        blobs=["twice"], diffs=["twice"], data=values, square=np.ones((count, 3))
    )
    np.testing.assert_allclose(outs["square"], 4 * values**2, rtol=1e-6)
    np.testing.assert_allclose(diffs["twice"], 4 * values, rtol=1e-6)
    np.testing.assert_allclose(diffs["data"], 8 * values, rtol=1e-6)


def test_batches_need_equal_counts() -> None:
    net = caffe.Net(lenet(2, loss=True), caffe.TEST)
    with pytest.raises(DataError, match="same number of items"):
        net.forward_all(data=np.zeros((3, 1, 28, 28)), label=np.zeros(2))


def test_inputs_are_checked() -> None:
    net = scale_net()
    with pytest.raises(GraphError, match=r"inputs are \['data'\]"):
        net.forward(image=np.zeros((4, 3)))
    with pytest.raises(GraphError, match=r'input "data" has shape \(4, 3\).*\(5, 3\)'):
        net.forward(data=np.zeros((5, 3)))
    with pytest.raises(GraphError, match=r'gradient of "square" has shape'):
        net.backward(square=np.zeros((4, 4)))
    with pytest.raises(GraphError, match='no layer "nothing"'):
        net.forward(start="nothing")
    np.testing.assert_array_equal(net.forward(data=np.ones((4, 1)))["square"], np.full((4, 3), 4))


def test_hooks_are_called_around_each_layer() -> None:
    net = scale_net()
    calls: list[tuple[str, int]] = []
    net.before_forward(lambda i: calls.append(("before", i)))
    net.after_forward(lambda i: calls.append(("after", i)))
    net.before_backward(lambda i: calls.append(("before backward", i)))
    net.after_backward(lambda i: calls.append(("after backward", i)))
    net.forward(start="double")
    net.backward(end="double")
    assert calls == [
        ("before", 1), ("after", 1), ("before", 2), ("after", 2),
        ("before backward", 2), ("after backward", 2), ("before backward", 1), ("after backward", 1),
    ]  # fmt: skip


def test_names_of_layers_and_blobs() -> None:
    net = caffe.Net(lenet(loss=True), caffe.TRAIN)
    assert list(net.layer_dict) == net._layer_names
    assert net.top_names["data"] == ["data", "label"]
    assert net.bottom_names["loss"] == ["score", "label"]
    assert net.blob_loss_weights["loss"] == 1
    assert sum(net.blob_loss_weights.values()) == 1
    assert [net._blob_names[i] for i in net._inputs] == net.inputs == ["data", "label"]
    assert [net._blob_names[i] for i in net._outputs] == net.outputs == ["loss"]
    assert net._bottom_ids(1) == [net._blob_names.index("data")]
    assert net.layers[1].type == "Convolution"
    assert net._forward(0, len(net.layers) - 1) == pytest.approx(float(net.blobs["loss"].data))
    net._backward(len(net.layers) - 1, 0)
    assert net.blobs["data"].num == 4
    assert (net.blobs["data"].channels, net.blobs["data"].height, net.blobs["data"].width) == (1, 28, 28)


def test_set_input_arrays_feeds_a_memory_data_layer() -> None:
    net = caffe.Net(
        parse(
            'layer { name: "m" type: "MemoryData" top: "data" top: "label" '
            "memory_data_param { batch_size: 2 channels: 1 height: 2 width: 2 } }",
            NetParameter(),
        ),
        caffe.TRAIN,
    )
    data, labels = np.arange(16, dtype=np.float32).reshape(4, 1, 2, 2), np.arange(4, dtype=np.float32)
    net.set_input_arrays(data, labels)
    for start in (0, 2, 0):
        out = net.forward()
        np.testing.assert_array_equal(out["data"], data[start : start + 2])
        np.testing.assert_array_equal(out["label"], labels[start : start + 2])
    with pytest.raises(GraphError, match="first layer must be a MemoryData"):
        scale_net().set_input_arrays(data, labels)


def test_hdf5_weights_with_and_without_gradients(tmp_path: Path) -> None:
    net = scale_net()
    net.forward(data=np.ones((4, 3)))
    net.backward(square=np.ones((4, 3)))
    net.save_hdf5(str(tmp_path / "plain"))
    net.save_hdf5(tmp_path / "both", True)
    with h5py.File(tmp_path / "plain") as plain, h5py.File(tmp_path / "both") as both:
        assert "diff" not in plain
        np.testing.assert_array_equal(both["diff/double/0"], net.params["double"][0].diff)
    net.params["double"][0].data[...] = 0
    net.load_hdf5(str(tmp_path / "plain"))
    np.testing.assert_array_equal(net.params["double"][0].data, [2, 2, 2])
    (tmp_path / "other").write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match="no HDF5 file"):
        net.load_hdf5(tmp_path / "other")


def test_nets_that_share_weights_see_each_others_changes() -> None:
    one, two = caffe.Net(lenet(), caffe.TEST), caffe.Net(lenet(2), caffe.TEST)
    two.share_with(one)
    one.params["conv1"][0].data[...] = 5
    assert (two.params["conv1"][0].data == 5).all()


def test_solver_callbacks_and_update_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    solver = caffe.SGDSolver("lenet_solver.prototxt")
    assert (solver.param.max_iter, solver.param.display, solver.param.base_lr) == (100, 0, pytest.approx(0.02))
    calls: list[str] = []
    solver.add_callback(lambda: calls.append("start"), lambda: calls.append("gradients"))
    solver.step(2)
    assert calls == ["start", "gradients"] * 2
    before = solver.net.params["score"][1].data.copy()
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    solver.apply_update()
    assert not np.array_equal(solver.net.params["score"][1].data, before)
    other = caffe.Net(lenet(2, loss=True), caffe.TEST)
    solver.share_weights(other)
    assert np.shares_memory(other.params["score"][1].data, solver.net.params["score"][1].data)


@pytest.mark.parametrize(
    "name",
    ["SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver", "AdaDeltaSolver", "AdamSolver"],
)
def test_every_solver_class_reads_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lenet(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = Path("lenet_solver.prototxt").read_text()
    if name in ("AdaGradSolver", "RMSPropSolver"):
        text = text.replace("momentum: 0.9", "")
    Path("solver.prototxt").write_text(text + f' type: "{name.removesuffix("Solver")}" rms_decay: 0.9')
    solver = getattr(caffe, name)("solver.prototxt")
    assert type(caffe.get_solver("solver.prototxt")) is type(solver)
    solver.step(1)
    assert solver.iter == 1


def test_random_seed_repeats_fillers() -> None:
    nets = []
    for _ in range(2):
        caffe.set_random_seed(11)
        nets.append(caffe.Net(lenet(), caffe.TEST).params["conv1"][0].data)
    np.testing.assert_array_equal(*nets)


def test_timer_measures_milliseconds() -> None:
    timer = caffe.Timer()
    timer.start()
    sum(range(10000))
    timer.stop()
    assert 0 < timer.ms < 10000


def test_log_lines_go_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("segcaffe")
    state = logger.level, logger.propagate, list(logger.handlers)
    try:
        caffe.init_log()
        caffe.init_log(0, True)
        caffe.log("half way: 50 %")
        caffe.init_log(1)
        caffe.log("silent")
    finally:
        logger.setLevel(state[0])
        logger.propagate = state[1]
        logger.handlers[:] = state[2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("I")
    assert lines[0].endswith("] half way: 50 %")
    assert "test_net_members.py" in lines[0]


def test_solver_rank_and_count_are_kept() -> None:
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    try:
        caffe.set_solver_count(2)
        caffe.set_solver_rank(1)
        caffe.set_multiprocess(True)
        assert (caffe.solver_count(), caffe.solver_rank()) == (2, 1)
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)
        caffe.set_multiprocess(False)
    with pytest.raises(DeviceError, match="at least 1"):
        caffe.set_solver_count(0)
    with pytest.raises(DeviceError, match="at least 0"):
        caffe.set_solver_rank(-1)


def test_without_mpi_and_gpu_nccl_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not caffe.has_nccl()
    with pytest.raises(DeviceError, match="CuPy"):
        caffe.NCCL.new_uid()
    monkeypatch.setenv("PMI_SIZE", "2")
    assert caffe.has_nccl()
    assert caffe.NCCL.new_uid() == "mpi"


def test_layer_types_are_listed() -> None:
    types = caffe.layer_type_list()
    assert types == sorted(types)
    assert {"Convolution", "Python", "Im2dist"} <= set(types)
