"""Solver options of other Caffes against formulas and loops written from those Caffes' solvers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import PrototxtError
from segcaffe.proto import caffe_pb2, text
from segcaffe.snapshot.solverstate import load_state
from segcaffe.solver.policies import LearningRate
from segcaffe.solver.registry import get_solver

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: [4, 3] } shape { dim: [4, 2] } data_filler { type: "gaussian" } data_filler { value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" } bias_filler { value: 0.1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def options(source: str) -> caffe_pb2.SolverParameter:
    return text.parse(f"base_lr: 0.1 max_iter: 100 {source}", caffe_pb2.SolverParameter())


def rates(source: str, iterations: list[int]) -> list[float]:
    rate = LearningRate(options(source))
    return [rate(iteration) for iteration in iterations]


def solver(source: str):
    given = text.parse(
        f"net_param {{ {NET} }} base_lr: 0.1 max_iter: 10 random_seed: 3 {source}", caffe_pb2.SolverParameter()
    )
    return get_solver(given)


@pytest.mark.parametrize(
    ("source", "iteration", "rate"),
    [
        ('lr_policy: "fixed" warmup_iter: 10 warmup_start_lr: 0.02', 0, 0.02),
        ('lr_policy: "fixed" warmup_iter: 10 warmup_start_lr: 0.02', 5, 0.06),
        ('lr_policy: "fixed" warmup_iter: 10 warmup_start_lr: 0.02', 10, 0.1),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4 warmup_iter: 10', 5, 0.05),
        ('lr_policy: "fixed" rampup_interval: 10 rampup_lr: 0.02', 5, 0.02 + 0.08 / 4),
        ('lr_policy: "fixed" rampup_interval: 10', 9, 0.081),
        ('lr_policy: "fixed" rampup_interval: 10', 10, 0.1),
        ('lr_policy: "step" gamma: 0.1 stepsize: 1 min_lr: 0.003', 7, 0.003),
        ('lr_policy: "poly" power: 2 min_lr: 0.02', 50, 0.08 / 4 + 0.02),
        ('lr_policy: "poly" power: 2 min_lr: 0.02', 100, 0.02),
        ('lr_policy: "multifixed" stagelr: [0.3, 0.2] stageiter: [5, 8]', 5, 0.3),
        ('lr_policy: "multifixed" stagelr: [0.3, 0.2] stageiter: [5, 8]', 6, 0.2),
        ('lr_policy: "multifixed" stagelr: [0.3, 0.2] stageiter: [5, 8]', 90, 0.2),
        ('lr_policy: "sgdr" period: 10 min_lr: 0.02', 0, 0.1),
        ('lr_policy: "sgdr" period: 10 min_lr: 0.02', 5, 0.06),
        ('lr_policy: "sgdr" period: 10 min_lr: 0.02', 10, 0.08),
        ('lr_policy: "sgdr" period: 10 min_lr: 0.02', 20, 0.05),
        ('lr_policy: "sgdr" period: 10 min_lr: 0.02', 30, 0.064),
    ],
)
def test_rates(source: str, iteration: int, rate: float) -> None:
    assert LearningRate(options(source)).preview(iteration) == pytest.approx(rate, rel=1e-6)
    assert rates(source, [iteration]) == [pytest.approx(rate, rel=1e-6)]


def test_plateau_falls_where_the_loss_does_not() -> None:
    rate = LearningRate(options('lr_policy: "plateau" gamma: 0.5 plateau_winsize: [3, 2]'))
    losses = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3]
    got = [rate(iteration, loss) for iteration, loss in enumerate(losses)]
    expected, least, last, step = [], math.inf, 0, 0
    for iteration, loss in enumerate(losses):
        if loss < least:
            least, last = loss, iteration
        if step < 2 and iteration >= last + (3, 2)[step]:
            step, last = step + 1, iteration
        expected.append(0.1 * 0.5**step)
    assert got == pytest.approx(expected)
    assert got[-1] == pytest.approx(0.025)
    assert (rate.minimum_loss, rate.current_step) == (3, 2)


def test_multistep_waits_for_the_warm_up() -> None:
    rate = LearningRate(options('lr_policy: "multistep" gamma: 0.5 stepvalue: 1 warmup_iter: 4'))
    got = [rate(iteration) for iteration in range(6)]
    assert got == pytest.approx([0, 0.025, 0.05, 0.075, 0.05, 0.05])


@pytest.mark.parametrize("as_hdf5", [False, True])
def test_plateau_goes_on_from_a_snapshot(tmp_path, as_hdf5: bool) -> None:
    source = f'lr_policy: "plateau" gamma: 0.5 plateau_winsize: [2, 2, 2] snapshot_prefix: "{tmp_path}/p"'
    source += f" snapshot_format: {'HDF5' if as_hdf5 else 'BINARYPROTO'}"
    first = solver(source)
    first.step(5)
    path = first.snapshot().state
    state = load_state(path)
    assert state.minimum_loss == first.rate.minimum_loss < 1e9
    kept = [getattr(first.rate, name) for name in ("current_step", "minimum_loss", "iter_last_event")]
    first.step(4)
    second = solver(source)
    second.restore(path)
    assert [second.rate.current_step, second.rate.minimum_loss, second.rate.iter_last_event] == kept
    second.step(4)
    assert first.lr == second.lr


def test_states_of_other_policies_are_upstreams(tmp_path) -> None:
    run = solver(f'lr_policy: "fixed" snapshot_prefix: "{tmp_path}/p"')
    run.step(1)
    state = run.snapshot().state
    assert load_state(state).minimum_loss is None
    assert not caffe_pb2.SolverState.FromString(state.read_bytes()).HasField("iter_last_event")


def trajectory(source: str, steps: int = 5):
    """Weights after each step, and before it weights, gradients and the iteration, by parameter."""
    run = solver(source)
    blobs = run.net.learnable_params
    grads, record = [], []
    run.add_callback(lambda: None, lambda: grads.append([blob.diff.astype(np.float64) for blob in blobs]))
    for _ in range(steps):
        before = [blob.data.astype(np.float64) for blob in blobs]
        run.step(1)
        record.append((before, grads[-1], [blob.data.astype(np.float64) for blob in blobs]))
    return record


def follow(record, rate_of, momentum_of, decay_of) -> None:
    """Check that the weights are those of SGD with these rates, momentums and weight decays."""
    history = [np.zeros_like(weight) for weight in record[0][0]]
    for iteration, (before, grads, after) in enumerate(record):
        for i, decay_mult in enumerate((1, 0)):
            g = grads[i] + decay_of(iteration) * decay_mult * before[i]
            rate = rate_of(iteration, i, before[i], grads[i])
            history[i] = momentum_of(iteration) * history[i] + rate * g
            np.testing.assert_allclose(after[i], before[i] - history[i], rtol=1e-4, atol=1e-6)


def constant(value: float):
    return lambda *_: value


def plain(iteration, i, weight, grad) -> float:
    return 0.1 * (1, 2)[i]


@pytest.mark.parametrize("policy", ["scale", "clip"])
def test_larc(policy: str) -> None:
    def rate(iteration, i, weight, grad) -> float:
        local = (1 - 0.5) * 0.02 * np.linalg.norm(weight) / np.linalg.norm(grad)
        return min(0.1, local) if policy == "clip" else 0.1 * local

    source = f'lr_policy: "fixed" momentum: 0.5 weight_decay: 0.01 larc: true larc_eta: 0.02 larc_policy: "{policy}"'
    follow(trajectory(source), rate, constant(0.5), constant(0.01))


def test_local_lr_auto() -> None:
    def rate(iteration, i, weight, grad) -> float:
        norm = np.linalg.norm(weight)
        return 0.1 * 0.02 * norm / (np.linalg.norm(grad) + 0.01 * norm)

    source = 'lr_policy: "fixed" momentum: 0.5 weight_decay: 0.01 local_lr_auto: true local_gw_ratio: 0.02'
    follow(trajectory(source), rate, constant(0.5), constant(0.01))


def test_momentum_and_weight_decay_by_a_power() -> None:
    source = 'lr_policy: "fixed" momentum: 0.5 momentum_policy: "poly" max_momentum: 0.9 momentum_power: 2 '
    source += 'weight_decay: 0.01 weight_decay_policy: "poly" max_weight_decay: 0.05 weight_decay_power: 0.5'
    follow(
        trajectory(source),
        plain,
        lambda iteration: 0.5 + 0.4 * (iteration / 10) ** 2,
        lambda iteration: 0.01 + 0.04 * (iteration / 10) ** 0.5,
    )


def test_momentum_of_the_rate() -> None:
    best = (1 - 0.5 * math.sqrt(0.1)) ** 2
    follow(trajectory('lr_policy: "fixed" momentum_policy: "opt"'), plain, constant(best), constant(0))
    limited = 'lr_policy: "fixed" momentum_policy: "opt" max_momentum: 0.3'
    follow(trajectory(limited), plain, constant(0.3), constant(0))


def test_momentum_is_corrected_while_the_rate_warms_up() -> None:
    def warm(iteration: int) -> float:
        return (max(0, iteration) * 0.1 + (4 - max(0, iteration)) * 0.02) / 4 if iteration < 4 else 0.1

    follow(
        trajectory('lr_policy: "fixed" momentum: 0.5 warmup_iter: 4 warmup_start_lr: 0.02', 6),
        lambda iteration, i, weight, grad: warm(iteration) * (1, 2)[i],
        lambda iteration: 0.5 * warm(iteration) / warm(iteration - 1) if iteration < 4 else 0.5,
        constant(0),
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('lr_policy: "plateau" gamma: 0.5', '"plateau" needs plateau_winsize'),
        ('lr_policy: "multifixed" stagelr: 1 stageiter: [1, 2]', "needs as many stagelr as stageiter"),
        ('lr_policy: "sgdr" period: 0', "period must be positive"),
        ('lr_policy: "fixed" warmup_iter: -1', "warmup_iter must not be negative"),
        ('lr_policy: "poly" power: 1 min_lr: 1', "min_lr must not be above base_lr"),
        (
            'lr_policy: "fixed" momentum_policy: "polly"',
            'one of fixed, poly, opt. Received: "polly". Did you mean "poly"',
        ),
        ('lr_policy: "fixed" larc: true local_lr_auto: true', "Received: both"),
    ],
)
def test_errors(source: str, expected: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        solver(source)
    assert expected in str(caught.value)


def test_options_without_effect_are_told_of_once(caplog) -> None:
    solver('lr_policy: "fixed" snapshot_log: true engine: "MKLDNN" test_offset: 3')
    told = [record.getMessage() for record in caplog.records if "other Caffes" in record.getMessage()]
    assert told == [
        "Options of other Caffes without effect here: engine: MKLDNN, snapshot_log: true",
        "Options of other Caffes without effect here, for which their Caffe would train differently: test_offset: 3",
    ]
