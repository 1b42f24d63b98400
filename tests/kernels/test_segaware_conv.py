"""The masked convolution against its definition, loops over taps in NumPy, for all kinds of windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe.kernels import segaware_conv
from segcaffe.kernels.segaware_conv.layout import make_layout
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]
CASES = {
    "same": ((2, 6, 13, 17), 5, 1, Window((3, 3), (1, 1), (1, 1), (1, 1))),
    "dilated": ((1, 4, 15, 19), 9, 1, Window((3, 3), (1, 1), (4, 4), (4, 4))),
    "reaches far out": ((1, 3, 9, 8), 4, 1, Window((3, 3), (1, 1), (12, 12), (12, 12))),
    "no padding": ((1, 5, 12, 14), 3, 1, Window((3, 3), (1, 1), (0, 0), (1, 1))),
    "strided": ((2, 3, 11, 16), 8, 1, Window((3, 3), (2, 3), (1, 2), (1, 1))),
    "uneven": ((1, 7, 10, 21), 17, 1, Window((2, 4), (1, 2), (3, 0), (2, 1))),
    "groups": ((2, 9, 12, 12), 6, 3, Window((3, 3), (1, 1), (1, 1), (1, 1))),
    "5x5": ((1, 4, 20, 31), 10, 1, Window((5, 5), (1, 1), (2, 2), (1, 1))),
    "many channels": ((1, 150, 12, 10), 20, 1, Window((3, 3), (1, 1), (1, 1), (1, 1))),
    "panels": ((2, 19, 9, 30), 13, 1, Window((3, 3), (1, 1), (2, 2), (2, 2))),
    "panels of groups": ((1, 140, 8, 31), 22, 2, Window((3, 3), (1, 1), (1, 1), (1, 1))),
    "whole tiles": ((2, 16, 9, 13), 10, 2, Window((3, 3), (1, 1), (3, 3), (3, 3))),
    "whole tiles, strided": ((1, 8, 9, 13), 9, 1, Window((3, 3), (2, 1), (1, 1), (1, 1))),
    "one pixel": ((3, 2, 1, 1), 2, 1, Window((3, 3), (1, 1), (1, 1), (1, 1))),
}


class Problem:
    """Arrays of one case, and what the definition says."""

    def __init__(self, shape: tuple[int, ...], rows: int, group: int, window: Window, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(7)
        self.group, self.window = group, window
        out = window.output_shape(shape[2:])
        self.x = rng.standard_normal(shape).astype(dtype)
        self.mask = rng.random((shape[0], window.taps, *out)).astype(dtype)
        self.weight = rng.standard_normal((rows, shape[1] // group, *window.kernel)).astype(dtype)
        self.bias = rng.standard_normal(rows).astype(dtype)
        self.grad = rng.standard_normal((shape[0], rows, *out)).astype(dtype)

    def tap(self, t: int) -> tuple[Any, ...]:
        """Where tap ``t`` of all windows lies in the padded image."""
        place = divmod(t, self.window.kernel[1])
        first = [i * d for i, d in zip(place, self.window.dilation, strict=True)]
        counts = zip(first, self.mask.shape[2:], self.window.stride, strict=True)
        return (..., *(slice(f, f + (n - 1) * s + 1, s) for f, n, s in counts))

    def columns(self) -> Array:
        """(N, C, T, H', W'), not masked."""
        pad_h, pad_w = self.window.pad
        padded = np.pad(self.x, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
        return np.stack([padded[self.tap(t)] for t in range(self.window.taps)], axis=2)

    def grouped(self) -> tuple[Array, Array]:
        """The weights as (g, M / g, C / g, T) and the output's gradient as (N, g, M / g, H', W')."""
        weight = self.weight.reshape(self.group, len(self.bias) // self.group, -1, self.window.taps)
        grad = self.grad.reshape(len(self.x), self.group, -1, *self.grad.shape[2:])
        return weight, grad

    def expected(self) -> dict[str, Array]:
        """Output and gradients by the definition."""
        columns = self.columns()
        masked = columns * self.mask[:, None]
        weight, grad = self.grouped()
        by_group = masked.reshape(len(self.x), self.group, -1, *masked.shape[2:])
        out = np.einsum("gmct,ngcthw->ngmhw", weight, by_group).reshape(self.grad.shape)
        grad_masked = np.einsum("gmct,ngmhw->ngcthw", weight, grad).reshape(masked.shape)
        (pad_h, pad_w), (_, _, height, width) = self.window.pad, self.x.shape
        grad_x = np.zeros((*self.x.shape[:2], height + 2 * pad_h, width + 2 * pad_w))
        for t in range(self.window.taps):
            grad_x[self.tap(t)] += (grad_masked * self.mask[:, None])[:, :, t]
        return {
            "out": out + self.bias[:, None, None],
            "grad_x": grad_x[:, :, pad_h : pad_h + height, pad_w : pad_w + width],
            "grad_mask": (grad_masked * columns).sum(1),
            "grad_weight": np.einsum("ngmhw,ngcthw->gmct", grad, by_group).reshape(self.weight.shape),
            "grad_bias": self.grad.sum((0, 2, 3)),
        }

    def found(self) -> dict[str, Array]:
        """What the kernel writes; parameter gradients without the 1 they are added to."""
        out, grad_x, grad_mask = (np.full_like(a, np.nan) for a in (self.grad, self.x, self.mask))
        grad_weight, grad_bias = np.ones_like(self.weight), np.ones_like(self.bias)
        rest = (self.window, self.group)
        segaware_conv.forward(self.x, self.mask, self.weight, self.bias, out, *rest)
        segaware_conv.backward_data(self.x, self.mask, self.weight, self.grad, grad_x, grad_mask, *rest)
        segaware_conv.backward_weight(self.x, self.mask, self.grad, grad_weight, grad_bias, *rest)
        arrays = {"out": out, "grad_x": grad_x, "grad_mask": grad_mask}
        return arrays | {"grad_weight": grad_weight - 1, "grad_bias": grad_bias - 1}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", CASES)
def test_definition(name: str, dtype: Any, tolerance: float) -> None:
    problem = Problem(*CASES[name], dtype)
    expected = problem.expected()
    for key, array in problem.found().items():
        scale = max(np.abs(expected[key]).max(), 1e-30)
        assert np.abs(array - expected[key]).max() <= tolerance * scale, key


def test_single_gradients_equal_those_computed_together() -> None:
    problem = Problem(*CASES["uneven"])
    together = problem.found()
    only_x, only_mask = np.empty_like(problem.x), np.empty_like(problem.mask)
    arrays = (problem.x, problem.mask, problem.weight, problem.grad)
    segaware_conv.backward_data(*arrays, only_x, None, problem.window)
    segaware_conv.backward_data(*arrays, None, only_mask, problem.window)
    assert np.array_equal(only_x, together["grad_x"])
    assert np.allclose(only_mask, together["grad_mask"], rtol=1e-13, atol=1e-13)


def test_cases_go_by_panels_and_by_columns_and_some_gather() -> None:
    ways, gathers = {}, {}
    for name, (shape, rows, group, window) in CASES.items():
        layout = make_layout(shape, (shape[0], rows, *window.output_shape(shape[2:])), window, group, 8)
        ways[name], gathers[name] = layout.panels is not None, layout.gathers
    assert ways["panels"]
    assert ways["panels of groups"]
    assert not ways["strided"]
    assert gathers["whole tiles"]
    assert gathers["panels of groups"]
    assert not gathers["whole tiles, strided"]
    assert not gathers["same"]


@pytest.mark.parametrize("slope", [0.0, 0.3, -0.5, "channels"])
@pytest.mark.parametrize("name", ["same", "uneven", "groups", "whole tiles"])
def test_results_are_rectified(name: str, slope: Any) -> None:
    problem = Problem(*CASES[name])
    slopes = np.linspace(-0.5, 0.5, len(problem.weight)) if slope == "channels" else slope
    plain, out = (np.full_like(problem.grad, np.nan) for _ in range(2))
    given = problem.x, problem.mask, problem.weight, problem.bias
    segaware_conv.forward(*given, plain, problem.window, problem.group)
    segaware_conv.forward(*given, out, problem.window, problem.group, negative_slope=slopes)
    shaped = slopes.reshape(-1, 1, 1) if slope == "channels" else slopes
    assert np.array_equal(out, np.where(plain > 0, plain, shaped * plain))


def test_infinity_below_zero_is_cut_off() -> None:
    problem = Problem(*CASES["same"])
    problem.bias[:] = -np.inf
    out = np.full_like(problem.grad, np.nan)
    segaware_conv.forward(problem.x, problem.mask, problem.weight, problem.bias, out, problem.window, negative_slope=0)
    assert not out.any()


def test_without_bias() -> None:
    problem = Problem(*CASES["groups"])
    out, grad_weight = np.empty_like(problem.grad), np.zeros_like(problem.weight)
    rest = (problem.window, problem.group)
    segaware_conv.forward(problem.x, problem.mask, problem.weight, None, out, *rest)
    segaware_conv.backward_weight(problem.x, problem.mask, problem.grad, grad_weight, None, *rest)
    expected = problem.expected()
    assert np.allclose(out, expected["out"] - problem.bias[:, None, None])
    assert np.allclose(grad_weight, expected["grad_weight"])


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    problem = Problem((2, 40, 41, 53), 24, 1, Window((3, 3), (1, 1), (1, 1), (1, 1)), np.float32)
    before = problem.found()
    usual = parallel.num_threads()
    parallel.set_num_threads(threads)
    try:
        after = problem.found()
    finally:
        parallel.set_num_threads(usual)
    assert all(np.array_equal(before[key], after[key]) for key in before)
