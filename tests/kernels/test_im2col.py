from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.kernels import im2col

# (spatial, kernel, stride, pad, dilation)
CASES = [
    ((9,), (3,), (2,), (1,), (2,)),
    ((5, 7), (3, 2), (1, 1), (1, 0), (1, 1)),
    ((8, 9), (2, 3), (3, 2), (2, 4), (2, 3)),
    ((2, 3), (1, 1), (1, 2), (4, 0), (1, 1)),
    ((4, 5, 6), (2, 3, 2), (1, 2, 1), (1, 0, 2), (2, 1, 3)),
]


def _columns(x, case):
    spatial, kernel, stride, pad, dilation = case
    sizes = zip(spatial, kernel, stride, pad, dilation, strict=True)
    output = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1 for s, k, t, p, d in sizes)
    columns = np.zeros((*x.shape[:2], *kernel, *output), x.dtype)
    for tap in itertools.product(*map(range, kernel)):
        for q in itertools.product(*map(range, output)):
            place = tuple(a * s + t * d - p for a, s, t, d, p in zip(q, stride, tap, dilation, pad, strict=True))
            if all(0 <= a < s for a, s in zip(place, spatial, strict=True)):
                columns[(slice(None), slice(None), *tap, *q)] = x[(slice(None), slice(None), *place)]
    return columns.reshape(x.shape[0], -1, *output)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_forward_equals_loops_and_backward_is_its_adjoint(case, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (2, 3, *case[0])).astype(dtype)
    expected = _columns(x, case)
    columns, back = np.full_like(expected, np.nan), np.full_like(x, np.nan)
    im2col.forward(x, columns, *case[1:])
    np.testing.assert_array_equal(columns, expected)
    grad = rng.integers(-9, 9, columns.shape).astype(dtype)
    im2col.backward(grad, back, *case[1:])
    for place in itertools.product(*map(range, x.shape)):
        unit = np.zeros_like(x)
        unit[place] = 1
        assert back[place] == (grad * _columns(unit, case)).sum()
        if place > (0, 1, 1):
            break


def test_four_axes_are_refused():
    x = np.zeros((1, 1, 2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"1 to 3 spatial axes. Received: 4"):
        im2col.forward(x, x, (1,) * 4, (1,) * 4, (0,) * 4, (1,) * 4)
