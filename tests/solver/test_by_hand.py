"""Training loops written by hand around apply_update: counted, scheduled, resumed and snapshot as step's are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.solver.solver import Solver
from tests.solver.nets import OPTIONS, small, small_solver

__all__ = ["small"]
ITERATIONS = 7
POLICIES = {
    "step": "gamma: 0.5 stepsize: 3",
    "multistep": "gamma: 0.5 stepvalue: 2 stepvalue: 5",
    "poly": "power: 1",
    "inv": "gamma: 1 power: 1",
    "exp": "gamma: 0.8",
    "sigmoid": "gamma: -0.5 stepsize: 4",
}


def _by_hand(solver: Solver, iterations: int) -> None:
    for _ in range(iterations):
        solver.net.clear_param_diffs()
        solver.net.forward()
        solver.net.backward()
        solver.apply_update()


def _weights(net: Net) -> np.ndarray:
    return np.concatenate([blob.data.ravel() for blob in net.learnable_params])


def _policy(name: str) -> str:
    options = POLICIES[name]
    Path("net_only.prototxt").write_text(Path("net.prototxt").read_text())
    return f'net: "net_only.prototxt" base_lr: 0.05 lr_policy: "{name}" {options} max_iter: 12 random_seed: 7 '


@pytest.mark.parametrize("name", OPTIONS)
def test_by_hand_equals_step_for_every_algorithm(small: Path, name: str) -> None:
    by_step = small_solver(name)
    by_step.step(ITERATIONS)
    by_hand = small_solver(name)
    _by_hand(by_hand, ITERATIONS)
    assert (by_hand.iter, by_hand.lr) == (by_step.iter, by_step.lr) == (ITERATIONS, by_step.lr)
    np.testing.assert_array_equal(_weights(by_hand.net), _weights(by_step.net))


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_moves_on(small: Path, name: str) -> None:
    from segcaffe.solver.registry import get_solver

    Path("policy.prototxt").write_text(_policy(name))
    by_step, by_hand = get_solver("policy.prototxt"), get_solver("policy.prototxt")
    rates = []
    for _ in range(ITERATIONS):
        by_step.step(1)
        _by_hand(by_hand, 1)
        rates.append((by_step.lr, by_hand.lr))
    assert all(ours == theirs for ours, theirs in rates)
    assert len({ours for ours, _ in rates}) > 1


def test_steps_and_hand_written_iterations_mix(small: Path) -> None:
    whole = small_solver()
    whole.step(ITERATIONS)
    mixed = small_solver()
    mixed.step(2)
    _by_hand(mixed, 3)
    mixed.step(2)
    assert mixed.iter == ITERATIONS
    np.testing.assert_array_equal(_weights(mixed.net), _weights(whole.net))


def test_an_update_in_a_callback_counts_as_one_of_the_steps(small: Path) -> None:
    solver = small_solver()
    solver.add_callback(lambda: solver.apply_update() if solver.iter == 1 else None, lambda: None)
    solver.step(4)
    assert solver.iter == 4


def test_a_snapshot_after_a_hand_written_loop_goes_on(small: Path) -> None:
    solver = small_solver("Adam")
    _by_hand(solver, 3)
    paths = solver.snapshot()
    assert paths.state.name == "snap_iter_3.solverstate"
    _by_hand(solver, 2)
    resumed = small_solver("Adam")
    resumed.restore(paths.state)
    assert resumed.iter == 3
    _by_hand(resumed, 2)
    np.testing.assert_array_equal(_weights(resumed.net), _weights(solver.net))


def test_the_rate_is_known_before_the_first_update_and_after_a_restore(small: Path) -> None:
    solver = small_solver()
    assert solver.lr == pytest.approx(0.05)
    solver.step(3)
    state = solver.snapshot().state
    resumed = small_solver()
    resumed.restore(state)
    assert resumed.lr == pytest.approx(0.025)


def test_display_logs_each_rate_once(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    solver = small_solver(extra="display: 2")
    with caplog.at_level("INFO", "segcaffe"):
        _by_hand(solver, 4)
    assert [line for line in caplog.messages if "lr =" in line] == [
        "Iteration 0, lr = 0.05",
        "Iteration 2, lr = 0.025",
    ]
