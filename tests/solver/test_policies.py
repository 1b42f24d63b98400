"""Learning rates by formula, by recorded values, and what is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.policies import LearningRate


def _rate(text: str) -> LearningRate:
    return LearningRate(parse(text, SolverParameter()))


FORMULAS = [
    ('lr_policy: "fixed"', lambda i: 0.1),
    ('lr_policy: "step" gamma: 0.5 stepsize: 7', lambda i: 0.1 * 0.5 ** (i // 7)),
    ('lr_policy: "exp" gamma: 0.9', lambda i: 0.1 * 0.9**i),
    ('lr_policy: "inv" gamma: 0.05 power: 0.75', lambda i: 0.1 * (1 + 0.05 * i) ** -0.75),
    ('lr_policy: "multistep" gamma: 0.3 stepvalue: 5 stepvalue: 12', lambda i: 0.1 * 0.3 ** ((i >= 5) + (i >= 12))),
    ('lr_policy: "poly" power: 0.9 max_iter: 30', lambda i: 0.1 * (1 - i / 30) ** 0.9),
    ('lr_policy: "sigmoid" gamma: -0.3 stepsize: 12', lambda i: 0.1 / (1 + math.exp(0.3 * (i - 12)))),
]


@pytest.mark.parametrize(("text", "formula"), FORMULAS, ids=[text.split('"')[1] for text, _ in FORMULAS])
def test_formula(text, formula) -> None:
    rate = _rate(f"base_lr: 0.1 {text}")
    np.testing.assert_allclose([rate(i) for i in range(31)], [formula(i) for i in range(31)], rtol=1e-5)


def test_multistep_passes_one_boundary_at_a_time() -> None:
    rate = _rate('base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 3 stepvalue: 4')
    assert [rate(i) for i in range(7)] == [1, 1, 1, 0.5, 0.25, 0.125, 0.125]
    assert rate.current_step == 3


def test_multistep_continues_from_its_state() -> None:
    text = 'base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 5'
    rate = _rate(text)
    rate.current_step = 1
    assert [rate(i) for i in (3, 4, 5)] == [0.5, 0.5, 0.25]


def test_base_lr_zero_is_a_value() -> None:
    assert _rate('base_lr: 0 lr_policy: "fixed"')(0) == 0


def test_poly_after_its_end_is_zero() -> None:
    assert _rate('base_lr: 1 lr_policy: "poly" power: 0.9 max_iter: 3')(5) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_lr: 1", "must name a learning rate policy. Received: no lr_policy. Known: fixed"),
        ('base_lr: 1 lr_policy: "multistp"', 'Received: "multistp". Did you mean "multistep"?'),
        ('base_lr: 1 lr_policy: "Step"', 'Did you mean "step"?'),
        ('lr_policy: "fixed"', 'lr_policy "fixed" needs base_lr'),
        ('base_lr: 1 lr_policy: "step" gamma: 0.1', 'lr_policy "step" needs stepsize'),
        ('base_lr: 1 lr_policy: "step" stepsize: 1', 'lr_policy "step" needs gamma'),
        ('base_lr: 1 lr_policy: "step" gamma: 1 stepsize: 0', "stepsize must be positive. Received: 0"),
        ('base_lr: 1 lr_policy: "inv" gamma: 1', "needs power"),
        ('base_lr: 1 lr_policy: "poly" power: 1', "needs max_iter"),
        ('base_lr: 1 lr_policy: "poly" power: 1 max_iter: 0', "needs a positive max_iter. Received: 0"),
        ('base_lr: 1 lr_policy: "multistep" gamma: 1', "needs stepvalue"),
        ('base_lr: 1 lr_policy: "multistep" gamma: 1 stepvalue: 5 stepvalue: 3', "Received: [5, 3]"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(PrototxtError) as error:
        _rate(text)
    assert message in str(error.value)


def test_rates_that_the_original_logged(shared: Path) -> None:
    text = (shared / "models" / "lenet_mnist" / "log.txt").read_text()
    logged = re.findall(r"Iteration (\d+), lr = (\S+)", text)
    assert len(logged) > 50
    rate = _rate('base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75')
    assert [(i, f"{rate(int(i)):.6g}") for i, _ in logged] == logged
