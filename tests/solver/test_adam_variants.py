"""Adam's variants and lookahead against the papers' rules, number by number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import PrototxtError
from segcaffe.solver.solver import Solver
from tests.solver.test_schedules import solver

BETA1, BETA2, DELTA, RATE = 0.9, 0.8, 1e-3, 0.1
ADAM = f'type: "Adam" lr_policy: "fixed" momentum: {BETA1} momentum2: {BETA2} delta: {DELTA}'


def adam_by_numbers(w: list[float], grads: list[list[float]], options: str, rows: int) -> list[float]:
    """The weights after each step's gradients, by loops over numbers; ``rows`` numbers of one output stand together."""
    m, v, w = [0.0] * len(w), [0.0] * len(w), list(w)
    for t, given in enumerate(grads, 1):
        g = list(given)
        if "gc" in options and rows < len(w):
            for start in range(0, len(w), rows):
                mean = sum(g[start : start + rows]) / rows
                g[start : start + rows] = [value - mean for value in g[start : start + rows]]
        longest = 2 / (1 - BETA2) - 1
        length = longest - 2 * t * BETA2**t / (1 - BETA2**t)
        for i, value in enumerate(g):
            m[i] = BETA1 * m[i] + (1 - BETA1) * value
            part = (value - m[i]) ** 2 if "adabelief" in options else value**2
            new = BETA2 * v[i] + (1 - BETA2) * part + (DELTA if "adabelief" in options else 0)
            v[i] = max(v[i], new) if "amsgrad" in options else new
            mean = m[i] / (1 - BETA1**t)
            if "rectified: true" in options and length <= 4:
                w[i] -= RATE * mean
                continue
            factor = 1.0
            if "rectified: true" in options:
                factor = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            corrected = math.sqrt(1 - BETA2**t) / (1 - BETA1**t)
            w[i] -= RATE * factor * corrected * m[i] / (math.sqrt(v[i]) + DELTA)
    return w


@pytest.mark.parametrize(
    "options",
    ["", "amsgrad: true", "rectified: true", "rectified: false", "adabelief: true", "gc: true",
     "amsgrad: true rectified: true adabelief: true gc: true"],
)  # fmt: skip
def test_variants_of_adam(options: str) -> None:
    own = solver(f"{ADAM} {options}")
    rng = np.random.default_rng(1)
    weight, bias = own.net.learnable_params
    expected = {0: weight.data.reshape(-1).tolist(), 1: bias.data.tolist()}
    # Large gradients first, so that the greatest square stays.
    steps = [rng.standard_normal((2, 3)) * (5 if i < 2 else 0.5) for i in range(12)]
    for grad in steps:
        weight.diff[...], bias.diff[...] = grad, grad[:, 0]
        own.apply_update()
    by_hand = adam_by_numbers(expected[0], [grad.reshape(-1).tolist() for grad in steps], options, 3)
    np.testing.assert_allclose(weight.data.reshape(-1), by_hand, rtol=2e-5, atol=1e-6)
    # The bias learns twice as fast, and has no axis to be centered over.
    half = adam_by_numbers(expected[1], [grad[:, 0].tolist() for grad in steps], options, 2)
    moved = (np.array(half) - expected[1]) * 2 + expected[1]
    np.testing.assert_allclose(bias.data, moved, rtol=2e-5, atol=1e-5)


def test_weight_decay_is_in_the_gradient() -> None:
    plain, varied = (solver(f"{ADAM} weight_decay: 0.3 {options}") for options in ("", "amsgrad: true"))
    for own in (plain, varied):
        for blob in own.net.learnable_params:
            blob.diff[...] = 0.01
        own.apply_update()
    for a, b in zip(plain.net.learnable_params, varied.net.learnable_params, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-6)
        np.testing.assert_allclose(a.diff, b.diff, rtol=1e-5)


@pytest.mark.parametrize("kind", ['type: "SGD" lr_policy: "fixed" momentum: 0.5', ADAM])
def test_lookahead(kind: str) -> None:
    plain = solver(kind)
    ahead = solver(f"{kind} lookahead: true lookahead_steps: 3 lookahead_alpha: 0.25")
    weight = [own.net.learnable_params[0] for own in (plain, ahead)]
    slow, rng = weight[1].data.copy(), np.random.default_rng(0)
    assert len(ahead.history) == len(plain.history) + 2
    for step in range(1, 8):
        grad = rng.standard_normal((2, 3))
        for own, blob in zip((plain, ahead), weight, strict=True):
            blob.diff[...] = grad
            own.apply_update()
        if step % 3 == 0:
            slow = slow + 0.25 * (weight[0].data - slow)
            weight[0].data[...] = slow
        np.testing.assert_allclose(weight[1].data, weight[0].data, rtol=1e-6)


def test_a_run_goes_on_within_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'{ADAM} lookahead: true lookahead_steps: 4 snapshot_prefix: "s"'
    grads = np.random.default_rng(0).standard_normal((10, 2, 3))

    def run(own: Solver, first: int, last: int) -> None:
        for grad in grads[first:last]:
            for blob in own.net.learnable_params:
                blob.diff[...] = grad if blob.ndim == 2 else grad[:, 0]
            own.apply_update()

    whole, begun, rest = solver(text), solver(text), solver(text)
    run(whole, 0, 10)
    run(begun, 0, 6)
    begun.snapshot()
    rest.restore("s_iter_6.solverstate")
    run(rest, 6, 10)
    for a, b in zip(whole.net.learnable_params, rest.net.learnable_params, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("options", ["lookahead_steps: -1", "lookahead_alpha: 1.5", "lookahead_alpha: nan"])
def test_what_cannot_be(options: str) -> None:
    with pytest.raises(PrototxtError, match="lookahead"):
        solver(f'lr_policy: "fixed" lookahead: true {options}')
