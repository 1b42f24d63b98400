"""Options of a solver that are no numbers, or of which none come."""

from __future__ import annotations

import pytest

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.proto.upgrade import upgrade_solver
from segcaffe.solver.policies import LearningRate
from segcaffe.solver.registry import get_solver

NET = """net_param { layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
layer { name: "l" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 } }
"""


def _solver(text: str) -> SolverParameter:
    return parse(f'{NET} base_lr: 0.1 lr_policy: "fixed" {text}', SolverParameter(), "solver")


@pytest.mark.parametrize(
    "option", ["momentum", "weight_decay", "clip_gradients", "delta", "momentum2", "gamma", "power"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number(option: str, value: str) -> None:
    with pytest.raises(PrototxtError, match=rf"Solver: {option} must be a number\. Received: {value}"):
        get_solver(_solver(f"{option}: {value}"))


@pytest.mark.parametrize("options", ["momentum: 1", "momentum: -0.5", "momentum2: 1", "momentum2: 7"])
def test_means_that_adam_cannot_keep(options: str) -> None:
    name, value = options.split(": ")
    with pytest.raises(PrototxtError, match=rf"Adam takes {name} in \[0, 1\)\. Received: {value}"):
        get_solver(_solver(f'type: "Adam" {options}'))


@pytest.mark.parametrize(
    "policy", ['"exp" gamma: 3e38', '"inv" gamma: -1 power: 0.5', '"step" gamma: -2.5e38 stepsize: 1']
)
def test_policies_that_give_no_number(policy: str) -> None:
    rate = LearningRate(parse(f"base_lr: 0.1 lr_policy: {policy}", SolverParameter(), "solver"))
    name = policy.split('"')[1]
    with pytest.raises(PrototxtError, match=f'lr_policy "{name}" gives no number for iteration 1000 .*gamma'):
        rate.preview(1000)


def test_algorithms_of_forks_are_named() -> None:
    solver = upgrade_solver(SolverParameter(solver_type=SolverParameter.SAG))
    assert solver.type == "SAG"
