"""What a solver does around the arithmetic: nets, tests, log lines, snapshots, requests, errors."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import GraphError, NumericError, PrototxtError, WeightsError
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver, solver_class, solver_types
from segcaffe.solver.sgd import SGDSolver
from tests.solver.nets import COMMON, NET, OPTIONS, small, small_solver

__all__ = ["small"]
NUMBER = r"-?[0-9.e+-]+"


def _patterns(lines: list[str]) -> list[str]:
    """Log lines with each number after an equals sign, and the speed, replaced by #."""
    lines = [re.sub(rf"\({NUMBER} iter/s, {NUMBER}s/", "(# iter/s, #s/", line) for line in lines]
    return [re.sub(rf"= {NUMBER}", "= #", line) for line in lines]


def test_log_lines_are_those_of_caffe(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="display: 2 test_iter: 3 test_interval: 2")
    solver.param.max_iter = 2
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.solve()
    test = [
        "    Test net output #0: loss = # (* 1 = # loss)",
        "    Test net output #1: noise_loss = # (* 0.1 = # loss)",
    ]
    assert _patterns(caplog.messages) == [
        "Solving small",
        "Learning Rate Policy: multistep",
        "Iteration 0, Testing net (#0)",
        *test,
        "Iteration 0 (# iter/s, #s/2 iters), loss = #",
        "    Train net output #0: loss = # (* 1 = # loss)",
        "    Train net output #1: noise_loss = # (* 0.1 = # loss)",
        "Iteration 0, lr = #",
        "Snapshotting to binary proto file snap_iter_2.caffemodel",
        "Snapshotting solver state to binary proto file snap_iter_2.solverstate",
        "Iteration 2, loss = #",
        "Iteration 2, Testing net (#0)",
        *test,
        "Optimization Done.",
    ]
    assert "Iteration 0, lr = 0.05" in caplog.messages


@pytest.mark.parametrize("interval", ["test_interval: 2", ""])
def test_test_iter_0_tests_nothing(small: Path, interval: str, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra=f"test_iter: 0 test_compute_loss: true {interval}")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(3)
    assert solver.test() == {}
    assert len(solver.test_nets) == 1
    assert not any("Test" in line for line in caplog.messages if "Creating" not in line)


def test_of_two_nets_only_the_one_with_batches_is_tested(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="test_iter: 0 test_iter: 1 test_interval: 1")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    assert [line for line in caplog.messages if "Testing" in line] == ["Iteration 0, Testing net (#1)"]


def test_numbers_have_six_digits(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="display: 1")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    loss = float(solver.net.blobs["loss"].data)
    assert f"    Train net output #0: loss = {loss:.6g} (* 1 = {loss:.6g} loss)" in caplog.messages


def test_a_test_averages_its_iterations(small: Path) -> None:
    solver = small_solver(extra="test_iter: 4 test_interval: 10 test_compute_loss: true")
    net = solver.test_nets[0]
    scores = []
    for _ in range(4):
        net.forward()
        scores.append(float(net.blobs["loss"].data))
    again = small_solver(extra="test_iter: 4 test_interval: 10")
    assert float(again.test()["loss"]) == pytest.approx(np.mean(scores), rel=1e-6)


def test_tests_see_the_weights_that_are_trained(small: Path) -> None:
    solver = small_solver(extra="test_iter: 1 test_interval: 100 test_initialization: false")
    before = float(solver.test()["loss"])
    solver.step(8)
    for mine, theirs in zip(solver.net.params["ip1"], solver.test_nets[0].params["ip1"], strict=True):
        assert mine.shares_data_with(theirs)
    assert float(solver.test()["loss"]) != before


@pytest.mark.parametrize("initial", [True, False])
def test_when_tests_run(small: Path, caplog: pytest.LogCaptureFixture, initial: bool) -> None:
    solver = small_solver(extra=f"test_iter: 1 test_interval: 2 test_initialization: {str(initial).lower()}")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(5)
    found = [int(line.split()[1].rstrip(",")) for line in caplog.messages if "Testing net" in line]
    assert found == ([0] if initial else []) + [2, 4]


def test_average_loss_is_a_window(small: Path) -> None:
    alone = small_solver()
    losses: list[float] = []
    alone.param.average_loss = 1
    alone.average_loss = type(alone.average_loss)(1)
    alone.add_progress(lambda p: losses.append(p.loss))
    alone.step(6)
    averaged = small_solver()
    means: list[float] = []
    averaged.add_progress(lambda p: means.append(p.loss))
    averaged.step(6)
    expected = [np.mean(losses[max(0, i - 2) : i + 1]) for i in range(6)]
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_each_call_of_step_begins_a_new_average(small: Path) -> None:
    shown: list[float] = []
    solver = small_solver()
    solver.add_progress(lambda p: shown.append(p.loss))
    for _ in range(3):
        solver.step(1)
        net = solver.net
        last = float(net.blobs["loss"].data) + float(np.float32(0.1)) * float(net.blobs["noise_loss"].data)
        assert shown[-1] == pytest.approx(last, rel=1e-6)


def test_callbacks_surround_the_passes(small: Path) -> None:
    solver = small_solver()
    seen: list[tuple[str, bool]] = []

    def record(name: str) -> None:
        seen.append((name, bool(np.any(solver.net.params["ip2"][0].diff))))

    solver.add_callback(lambda: record("start"), lambda: record("gradients"))
    solver.step(2)
    assert seen == [("start", False), ("gradients", True)] * 2


def test_requests_are_served_between_iterations(small: Path) -> None:
    solver = small_solver()
    solver.add_callback(lambda: solver.request_snapshot() if solver.iter == 1 else None, lambda: None)
    solver.add_callback(lambda: solver.request_stop() if solver.iter == 3 else None, lambda: None)
    solver.step(100)
    assert solver.iter == 4
    assert [path.name for path in small.glob("*.solverstate")] == ["snap_iter_2.solverstate"]


def test_stopping_leaves_a_snapshot(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="snapshot: 5")
    solver.add_callback(lambda: solver.request_stop() if solver.iter == 2 else None, lambda: None)
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.solve()
    assert caplog.messages[-1] == "Optimization stopped early."
    assert Path("snap_iter_3.solverstate").exists()


def test_a_stop_during_a_test_interrupts_it(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="test_iter: 5 test_interval: 1")
    solver.request_stop()
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(3)
    assert solver.iter == 0
    assert caplog.messages[-1] == "Test interrupted."


def test_snapshot_after_train_may_be_off(small: Path) -> None:
    small_solver(extra="snapshot_after_train: false").solve()
    assert not list(small.glob("snap_iter*"))


@pytest.mark.parametrize("diff", [False, True])
@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_snapshot_diff(small: Path, diff: bool, suffix: str) -> None:
    kind = "HDF5" if suffix else "BINARYPROTO"
    solver = small_solver(extra=f"snapshot_format: {kind} snapshot_diff: {str(diff).lower()}")
    solver.step(1)
    paths = solver.snapshot()
    assert paths.weights.name == f"snap_iter_1.caffemodel{suffix}"
    size = paths.weights.stat().st_size
    solver.param.snapshot_diff = not diff
    assert (solver.snapshot().weights.stat().st_size > size) == (not diff)


def test_snapshots_are_named_after_the_solver_file_when_nothing_else_names_them(small: Path) -> None:
    solver = small_solver()
    assert solver.snapshot_prefix == "snap"
    text = Path("solver.prototxt").read_text()
    Path("other.prototxt").write_text(text.replace('snapshot_prefix: "snap"', ""))
    assert get_solver("other.prototxt").snapshot_prefix == "other"
    Path("folder").mkdir()
    Path("folder/third.v2.prototxt").write_text(text.replace('snapshot_prefix: "snap"', ""))
    assert get_solver("folder/third.v2.prototxt").snapshot_prefix == "folder/third.v2"
    Path("other.prototxt").write_text(text.replace('"snap"', '"folder/"'))
    assert get_solver("other.prototxt").snapshot_prefix == "folder/other"


def test_snapshot_folders_are_made(small: Path) -> None:
    small_solver(extra="snapshot: 5")
    text = Path("solver.prototxt").read_text()
    Path("solver.prototxt").write_text(text.replace('"snap"', '"new/er/snap"'))
    get_solver("solver.prototxt")
    assert Path("new/er").is_dir()
    Path("solver.prototxt").write_text(text.replace('"snap"', '"other/"'))
    assert get_solver("solver.prototxt").snapshot().weights == Path("other/solver_iter_0.caffemodel")


def test_an_impossible_snapshot_folder_is_found_before_training(small: Path) -> None:
    small_solver(extra="snapshot: 5")
    text = Path("solver.prototxt").read_text()
    Path("solver.prototxt").write_text(text.replace('"snap"', '"net.prototxt/snap"'))
    with pytest.raises(WeightsError, match=r"the folder net.prototxt cannot be made"):
        get_solver("solver.prototxt")
    solver = small_solver()
    solver.snapshot_prefix = "net.prototxt/snap"
    with pytest.raises(WeightsError, match=r"the folder net.prototxt cannot be made"):
        solver.solve()
    assert solver.iter == 0


def test_not_a_number_names_the_layer_and_keeps_snapshots(small: Path) -> None:
    solver = small_solver(extra="snapshot: 1")
    solver.step(1)
    solver.net.params["ip2"][0].data[0, 0] = np.nan
    with pytest.raises(
        NumericError, match=r'Iteration 1: the loss is nan.*parameter 0 of layer "ip2" \(InnerProduct\)'
    ):
        solver.step(1)
    with pytest.raises(NumericError, match=r'parameter 0 of layer "ip2" is not finite, so no snapshot is written'):
        solver.snapshot()
    assert sorted(path.name for path in small.glob("snap*.caffemodel")) == ["snap_iter_1.caffemodel"]


def test_infinite_data_names_the_layer_that_brings_it(small: Path) -> None:
    text = NET.replace('data_filler { type: "gaussian" }', "data_filler { value: 1e30 }")
    Path("net.prototxt").write_text(text.replace("num_output: 5 }", "num_output: 5 weight_filler { value: 1e9 } }"))
    solver = small_solver()
    for blob in solver.net.params["ip3"]:
        blob.data[...] = 1e10
    with (
        np.errstate(over="ignore"),
        pytest.raises(NumericError, match=r'made by layer "ip3" \(InnerProduct\), in its top'),
    ):
        solver.step(1)


def test_gradient_clipping_is_logged(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="clip_gradients: 1e-3")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    line = next(line for line in caplog.messages if line.startswith("Gradient clipping"))
    assert re.fullmatch(
        rf"Gradient clipping: scaling down gradients \(L2 norm {NUMBER} > 0\.001\) by scale factor {NUMBER}", line
    )


def test_frozen_parameters_count_in_the_norm_where_their_gradients_are_computed(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With force_backward they are."""
    Path("net.prototxt").write_text("force_backward: true" + NET.replace("lr_mult: 1", "lr_mult: 0"))
    solver = small_solver(extra="clip_gradients: 0.001")
    squares: list[float] = []

    def record() -> None:
        squares.extend(float(np.square(blob.diff).sum()) for blob in solver.net.learnable_params)

    solver.add_callback(lambda: None, record)
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    frozen = solver.net.params_lr.index(0)
    assert squares[frozen] > 0
    line = next(line for line in caplog.messages if line.startswith("Gradient clipping"))
    norm = re.search(rf"L2 norm ({NUMBER}) ", line)
    assert norm is not None
    assert float(norm[1]) == pytest.approx(sum(squares) ** 0.5, rel=1e-4)


def test_debug_info_covers_the_nets_that_are_tested(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="debug_info: true test_iter: 2 test_interval: 1")
    with caplog.at_level(logging.INFO, "segcaffe"):
        scores = solver.test()
    assert sum(line.startswith("    [Forward] Layer ip1, top blob ip1 data: ") for line in caplog.messages) == 2
    assert set(scores) == {"loss", "noise_loss"}


def test_lr_mult_zero_leaves_a_parameter_alone(small: Path) -> None:
    text = NET.replace("param { lr_mult: 2 decay_mult: 0 }", "param { lr_mult: 0 }")
    Path("net.prototxt").write_text(text)
    solver = small_solver("Adam")
    solver.net.params["ip2"][1].data[...] = [1, 2, 3]
    solver.step(3)
    np.testing.assert_array_equal(solver.net.params["ip2"][1].data, [1, 2, 3])


def test_base_lr_zero_changes_nothing(small: Path) -> None:
    solver = small_solver()
    solver.param.base_lr = 0
    before = [blob.data.copy() for blob in solver.net.learnable_params]
    solver.step(2)
    for blob, values in zip(solver.net.learnable_params, before, strict=True):
        np.testing.assert_array_equal(blob.data, values)


def test_debug_info_looks_as_in_caffe(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = small_solver(extra="display: 1")
    solver = small_solver(extra="display: 1 debug_info: true")
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    lines = {re.sub(rf": {NUMBER}", ": #", line) for line in _patterns(caplog.messages)}
    for line in (
        "    [Forward] Layer ip1, top blob ip1 data: #",
        "    [Forward] Layer ip1, param blob w data: #",
        "    [Forward] Layer ip1, param blob 1 data: #",
        "    [Backward] Layer ip2, bottom blob ip1 diff: #",
        "    [Backward] Layer ip2, param blob 0 diff: #",
        "    [Update] Layer ip1, param w data: #; diff: #",
    ):
        assert line in lines
    assert any(line.startswith("    [Backward] All net params (data, diff): L1 norm = (") for line in lines)
    plain_again = small_solver(extra="display: 1")
    plain_again.step(1)
    for mine, theirs in zip(solver.net.learnable_params, plain_again.net.learnable_params, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
    assert plain.iter == 0


def test_random_seed_repeats_the_start(small: Path) -> None:
    one, other = small_solver(), small_solver()
    for mine, theirs in zip(one.net.learnable_params, other.net.learnable_params, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
    assert np.any(one.net.params["ip1"][0].data)


def test_weights_of_the_solver_are_loaded(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = small_solver()
    trained.step(3)
    trained.snapshot()
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver = small_solver(extra='weights: "snap_iter_3.caffemodel"')
    assert "Finetuning from snap_iter_3.caffemodel" in caplog.messages
    np.testing.assert_array_equal(solver.net.params["ip1"][0].data, trained.net.params["ip1"][0].data)
    assert solver.iter == 0


def test_files_may_have_template_names(small: Path) -> None:
    Path("net.prototxt").write_text(NET.replace("num_output: 5", "num_output: ${WIDTH}"))
    Path("solver.prototxt").write_text(f'net: "net.prototxt" {COMMON.replace("0.05", "${LR}")}')
    solver = get_solver("solver.prototxt", {"WIDTH": "5", "LR": "0.25"})
    assert solver.param.base_lr == 0.25
    assert solver.net.params["ip1"][0].shape == (5, 6)


def test_stages_of_train_and_test_states(small: Path) -> None:
    extra = (
        NET
        + 'layer { name: "extra" type: "DummyData" top: "extra" include { stage: "more" } '
        + ("dummy_data_param { shape { dim: 1 } } }")
    )
    Path("net.prototxt").write_text(extra)
    states = 'train_state { stage: "more" } test_state { } test_state { stage: "more" }'
    solver = small_solver(extra=f"{states} test_iter: 1 test_iter: 1 test_interval: 1")
    assert ["extra" in net.layer_names for net in (solver.net, *solver.test_nets)] == [True, False, True]


def test_classes_by_type() -> None:
    assert solver_types() == sorted(OPTIONS)
    assert solver_class("SGD") is SGDSolver
    with pytest.raises(PrototxtError, match=r'unknown type "adam"\. Did you mean "Adam"\?'):
        solver_class("adam")


def test_a_class_may_be_used_directly(small: Path) -> None:
    small_solver()
    solver = SGDSolver("solver.prototxt")
    solver.step(1)
    assert solver.iter == 1


def test_old_solver_type_is_understood(small: Path) -> None:
    text = f'net: "net.prototxt" solver_type: ADAM momentum: 0.9 {COMMON}'
    assert get_solver(parse(text, SolverParameter())).type == "Adam"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Received: none"),
        ('net: "net.prototxt" train_net: "net.prototxt"', "Received: train_net, net"),
        ('net: "net.prototxt" test_iter: 1', "test_interval must be positive. Received: 0"),
        ('train_net: "net.prototxt" test_iter: 1 test_interval: 1', "Received: 1 for 0 test nets"),
        ('net: "net.prototxt" test_net: "net.prototxt" test_interval: 1', "Received: 0 for 1 test nets"),
        (
            'net: "net.prototxt" test_iter: -1 test_interval: 1',
            "test_iter is a number of batches, 0 for a net that is not tested. Received: -1",
        ),
        (
            'net: "net.prototxt" test_iter: 1 test_interval: 1 test_state {} test_state {}',
            "Received: 2 for 1 test nets",
        ),
        ('net: "net.prototxt" iter_size: 0', "iter_size must be at least 1. Received: 0"),
        ('net: "net.prototxt" regularization_type: "l2"', 'Received: "l2". Did you mean "L2"?'),
        ('net: "net.prototxt" type: "AdaGrad" momentum: 0.5', "AdaGrad takes no momentum. Received: 0.5"),
        ('net: "net.prototxt" type: "RMSProp" momentum: 0.5', "RMSProp takes no momentum. Received: 0.5"),
        ('net: "net.prototxt" type: "RMSProp" rms_decay: 1', "rms_decay must lie in [0, 1). Received: 1"),
    ],
)
def test_refused_options(small: Path, text: str, message: str) -> None:
    with pytest.raises(PrototxtError) as error:
        get_solver(parse(f"{text} {COMMON}", SolverParameter()))
    assert message in str(error.value)


def test_maps_are_logged_by_their_mean(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line for each value of a map makes logs of hundreds of megabytes."""
    (tmp_path / "net.prototxt").write_text(
        """
        layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 1 } }
        layer { name: "few" type: "Power" bottom: "d" top: "few" power_param { shift: 1 } }
        layer { name: "map" type: "Tile" bottom: "few" top: "map" tile_param { axis: 1 tiles: 50 } }
        layer { name: "l" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }
        layer { name: "y" type: "DummyData" top: "y" dummy_data_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
        layer { name: "acc" type: "SegAccuracy" bottom: "d" bottom: "y" top: "acc" }
        """
    )
    text = f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 1 test_iter: 1 test_interval: 1'
    solver = get_solver(parse(text, SolverParameter()))
    with caplog.at_level(logging.INFO, "segcaffe"):
        solver.step(1)
    lines = [line for line in caplog.messages if "net output" in line]
    assert [line for line in lines if ": map" in line] == [
        f"    {kind} net output #4: map = 1 (mean of 1600 values)" for kind in ("Test", "Train")
    ]
    assert [line.partition(": ")[2] for line in lines if "Test" in line and "acc" in line] == [
        "acc = 0 (pixel accuracy)", "acc = 0 (mean class accuracy)", "acc = 0 (mean IoU)"
    ]  # fmt: skip


def test_watchers_hear_of_tests_and_snapshots(small: Path) -> None:
    solver = small_solver(extra="test_iter: 1 test_interval: 2 snapshot: 2")
    heard: list[object] = []
    solver.add_watcher(lambda index, scores: heard.append((index, sorted(scores))), lambda paths: heard.append(paths))
    solver.step(3)
    tested = (0, sorted(solver.test_nets[0].outputs))
    assert [item for item in heard if not hasattr(item, "state")] == [tested, tested]
    states = [str(item.state) for item in heard if hasattr(item, "state")]
    assert states == [f"{solver.snapshot_prefix}_iter_2.solverstate"]


def test_a_test_net_without_its_stage_says_which_option_reaches_it(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } '
        'include { stage: "one" } }\n'
        'layer { name: "l" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }'
    )
    base = f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" '
    (tmp_path / "s.prototxt").write_text(base + 'test_iter: 1 test_interval: 1 train_state { stage: "one" }')
    with pytest.raises(GraphError) as caught:
        get_solver(tmp_path / "s.prototxt")
    told = str(caught.value)
    assert told.startswith("The test net cannot be built: ")
    assert 'Layer "ip" makes "y", but its include rule (stage: "one") leaves it out of this net' in told
    assert "which has phase TEST and no stage." in told
    assert "reach the training net as train_state of the solver, `segcaffe train --level` and --stage" in told
    assert "test nets as test_state, once for each test net." in told
    (tmp_path / "s.prototxt").write_text(base)
    with pytest.raises(GraphError, match="The training net cannot be built: "):
        get_solver(tmp_path / "s.prototxt")
