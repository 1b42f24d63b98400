"""Blobs large enough to be divided among threads, against the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from segcaffe.testing import LayerCase

Formula = Callable[[np.ndarray], np.ndarray]
SHAPE = (3, 7, 101, 103)


def positive(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.01, 20, SHAPE)


def wide(rng: np.random.Generator) -> np.ndarray:
    return 20 * rng.standard_normal(SHAPE)


CASES: list[tuple[LayerCase, Formula]] = [
    (LayerCase("Sigmoid", bottoms=(wide,)), lambda x: 1 / (1 + np.exp(-x))),
    (LayerCase("TanH", bottoms=(wide,)), np.tanh),
    (LayerCase("ELU", bottoms=(wide,)), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    (LayerCase("Swish", bottoms=(wide,)), lambda x: x / (1 + np.exp(-x))),
    (LayerCase("BNLL", bottoms=(wide,)), lambda x: np.logaddexp(x, 0)),
    (LayerCase("Log", bottoms=(positive,)), np.log),
    (LayerCase("Power", "power_param { power: 2.5 }", (positive,)), lambda x: x**2.5),
    (LayerCase("Power", "power_param { power: 5 }", (wide,)), lambda x: x**5),
    (LayerCase("Power", "power_param { power: -2 shift: 0.5 }", (positive,)), lambda x: (x + 0.5) ** -2),
    (LayerCase("ReLU", bottoms=(wide,)), lambda x: np.maximum(x, 0)),
    (LayerCase("AbsVal", bottoms=(wide,)), np.abs),
]


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize(("case", "formula"), CASES, ids=lambda value: getattr(value, "type", ""))
def test_values(case: LayerCase, formula: Formula, in_place: bool) -> None:
    layer, bottom, top = case.build()
    expected = formula(bottom[0].data.astype(np.float64))
    top = bottom if in_place else top
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, expected, rtol=3e-6, atol=1e-6)


def test_bnll_keeps_its_digits_far_below_zero() -> None:
    x = -np.logspace(-2, 1.9, 200)
    layer, bottom, top = LayerCase("BNLL", bottoms=(x,)).build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, np.log1p(np.exp(bottom[0].data.astype(np.float64))), rtol=1e-6)


def test_nan_and_infinity_pass_through() -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0])
    expected = {
        "ReLU": [np.nan, np.inf, 0, 0],
        "Sigmoid": [np.nan, 1, 0, 0.5],
        "TanH": [np.nan, 1, -1, 0],
        "Exp": [np.nan, np.inf, 0, 1],
        "Log": [np.nan, np.inf, np.nan, -np.inf],
        "BNLL": [np.nan, np.inf, 0, np.log(2)],
    }
    for kind, values in expected.items():
        layer, bottom, top = LayerCase(kind, bottoms=(special,)).build()
        layer.forward(bottom, top)
        np.testing.assert_allclose(top[0].data, values, rtol=1e-6, err_msg=kind)


@pytest.mark.parametrize(("power", "at_zero"), [(3, 0.0), (0.5, 0.0), (5, 0.0), (-1, np.inf)])
def test_power_of_zero(power: float, at_zero: float) -> None:
    layer, bottom, top = LayerCase("Power", f"power_param {{ power: {power} }}", (np.zeros(3),)).build()
    layer.forward(bottom, top)
    assert (top[0].data == at_zero).all()


@pytest.mark.parametrize("power", [2, 3, 4, 5, -1, -3])
def test_whole_powers_of_negative_numbers(power: int) -> None:
    x = np.array([-2.0, -0.5, 3.0])
    layer, bottom, top = LayerCase("Power", f"power_param {{ power: {power} }}", (x,)).build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, x**power, rtol=1e-6)


def test_a_broken_power_of_a_negative_number_is_nan() -> None:
    layer, bottom, top = LayerCase("Power", "power_param { power: 1.5 }", (np.array([-1.0, 4.0]),)).build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, [np.nan, 8], rtol=1e-6)
