"""Every type, given bottoms of too few axes, of many, or without elements: it computes, or says what it wants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.layers.registry import layer_class
from segcaffe.testing import LayerCase
from tests.cases import all_cases

CASES = [case for case in all_cases() if case.bottoms]


def _reshaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array of another shape; its first values, and zeros where there are too few."""
    out = np.zeros(shape, np.float32)
    count = min(out.size, values.size)
    out.reshape(-1)[:count] = values.reshape(-1)[:count]
    return out


def _shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shapes with fewer axes, with more, and with each axis empty."""
    for axes in range(len(shape)):
        yield shape[:axes]
    yield (*shape, 1)
    yield (*shape, *(1,) * (32 - len(shape)))
    for axis in range(len(shape)):
        yield (*shape[:axis], 0, *shape[axis + 1 :])


def _variants(case: LayerCase) -> Iterator[list[np.ndarray]]:
    """All bottoms changed alike, and each one alone."""
    inputs = [values.astype(np.float32) for values in case.inputs()]
    for index, values in enumerate(inputs):
        for shape in _shapes(values.shape):
            yield [*inputs[:index], _reshaped(values, shape), *inputs[index + 1 :]]
    for kind in range(max(values.ndim for values in inputs) + 2):
        changed = [list(_shapes(values.shape)) for values in inputs]
        if len(inputs) > 1 and all(kind < len(shapes) for shapes in changed):
            yield [_reshaped(values, shapes[kind]) for values, shapes in zip(inputs, changed, strict=True)]


def _run(case: LayerCase, inputs: list[np.ndarray]) -> None:
    # Without the case's own parameters, whose shapes follow its bottoms.
    layer, bottom, top = replace(case, params={}).build(inputs=inputs)
    layer.param_propagate_down = [True] * len(layer.blobs)
    layer.forward(bottom, top)
    cls = layer_class(case.type)
    if case.gradient and cls.gradient_to != ():
        layer.backward(top, [layer.allows_gradient(i) for i in range(len(bottom))], bottom)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_bottoms_of_unsuitable_shapes(case: LayerCase) -> None:
    for inputs in _variants(case):
        try:
            with contextlib.suppress(SegcaffeError):
                _run(case, inputs)
        except Exception as error:
            raise AssertionError(f"bottoms of shapes {[values.shape for values in inputs]}") from error
