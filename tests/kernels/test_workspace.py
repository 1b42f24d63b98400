"""Workspace of convolutions: what is told beforehand is what the kernels then keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe.kernels import convolution, segaware_conv
from segcaffe.kernels.convolution.method import choose, choose_gradient
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.segaware_conv.workspace import workspace as masked_workspace
from segcaffe.kernels.vector import scratch
from segcaffe.threads import parallel
from segcaffe.window import Window

WINDOW = {
    1: Window((1, 1), (1, 1), (0, 0), (1, 1)),
    3: Window((3, 3), (1, 1), (1, 1), (1, 1)),
    4: Window((4, 4), (1, 1), (18, 18), (12, 12)),
    5: Window((5, 5), (2, 2), (2, 2), (1, 1)),
}
SHAPES = [
    pytest.param(64, 96, 3, 60, id="winograd"),
    pytest.param(512, 512, 3, 41, id="winograd of few pixels"),
    pytest.param(3, 64, 3, 60, id="direct"),
    pytest.param(600, 5, 3, 41, id="few outputs"),
    pytest.param(160, 96, 1, 50, id="pixelwise"),
    pytest.param(32, 64, 5, 70, id="strided"),
    pytest.param(300, 5, 4, 70, id="spread"),
    pytest.param(256, 300, 3, 15, id="panels"),
    pytest.param(700, 300, 1, 15, id="panels of single pixels"),
    pytest.param(1024, 3000, 1, 2, id="columns"),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = parallel.num_threads()
    parallel.set_num_threads(1)
    scratch.release()
    yield
    parallel.set_num_threads(before)


def _kept() -> int:
    total = sum(scratch.kept().values())
    scratch.release()
    return total


def _agrees(told: scratch.Bytes, found: int, made: tuple[str, ...] = ()) -> bool:
    """Within 10%, steps of the memory that is kept and tables of a few kilobytes; ``made`` is not kept at all."""
    expected = sum(size for name, size in told.items() if name not in made)
    return 0.9 * expected - 1e5 < found < 1.1 * expected + 1e5 + len(told) * 2**20


@pytest.mark.parametrize(("channels", "rows", "kernel", "size"), SHAPES)
def test_convolution(channels: int, rows: int, kernel: int, size: int) -> None:
    window = WINDOW[kernel]
    out = (size - 1) // window.stride[0] + 1
    x = np.ones((1, channels, size, size), np.float32)
    weight = np.ones((rows, channels, kernel, kernel), np.float32)
    y = np.ones((1, rows, out, out), np.float32)
    problem = Problem.forward(x.shape, weight.shape, y.shape, window, 1, 4)
    convolution.forward(x, weight, None, y, window)
    assert _agrees(choose(problem).workspace(), _kept())
    convolution.backward_data(y, weight, x, window)
    assert _agrees(choose(problem.for_data()).workspace(), _kept())
    convolution.backward_weight(x, y, weight, None, window)
    told = choose_gradient(problem.for_weight()).workspace()
    assert _agrees(told, _kept(), made=("convolution_gradient",))


@pytest.mark.parametrize(("channels", "rows"), [(64, 96), (300, 128)])
def test_masked_convolution(channels: int, rows: int) -> None:
    window = Window((3, 3), (1, 1), (1, 1), (1, 1))
    x, mask = np.ones((1, channels, 40, 50), np.float32), np.ones((1, 9, 40, 50), np.float32)
    weight, y = np.ones((rows, channels, 3, 3), np.float32), np.ones((1, rows, 40, 50), np.float32)
    segaware_conv.forward(x, mask, weight, None, y, window)
    assert _agrees(masked_workspace(x.shape, y.shape, window, 1, np.float32, backward=False), _kept())
    segaware_conv.forward(x, mask, weight, None, y, window)
    segaware_conv.backward_data(x, mask, weight, y, np.empty_like(x), np.empty_like(mask), window)
    segaware_conv.backward_weight(x, mask, y, weight, None, window)
    told = masked_workspace(x.shape, y.shape, window, 1, np.float32, backward=True)
    assert _agrees(told, _kept(), made=("segaware_gradient",))


def test_passes_in_turn_take_the_most_of_each() -> None:
    assert scratch.largest({"a": 1, "b": 5}, {"a": 3, "c": 2}) == {"a": 3, "b": 5, "c": 2}
