"""The compiled exponential, sigmoid and hyperbolic tangent against the C library in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from segcaffe.kernels import vector_math

exp, sigmoid, tanh = vector_math.exp, vector_math.sigmoid, vector_math.tanh


@njit
def map_exp(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@njit
def map_sigmoid(x, out):
    for i in range(x.size):
        out[i] = sigmoid(x[i])


@njit
def map_tanh(x, out):
    for i in range(x.size):
        out[i] = tanh(x[i])


def apply(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize(
    ("function", "exact", "limit"),
    [(map_exp, np.exp, 87), (map_sigmoid, lambda x: 1 / (1 + np.exp(-x)), 87), (map_tanh, np.tanh, 700)],
)
def test_values(function, exact, limit, dtype, tolerance):
    x = np.concatenate([np.linspace(-limit, limit, 30001), np.linspace(-0.3, 0.3, 3001), [1e-6, -1e-20]]).astype(dtype)
    np.testing.assert_allclose(apply(function, x), exact(x.astype(np.float64)), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_the_range(dtype):
    x = np.array([-np.inf, -1000, 0, 1000, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(apply(map_exp, x), [0, 0, 1, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(apply(map_sigmoid, x), [0, 0, 0.5, 1, 1, np.nan])
    np.testing.assert_array_equal(apply(map_tanh, x), [-1, -1, 0, 1, 1, np.nan])


@pytest.mark.parametrize("function", [exp, sigmoid, tanh])
def test_outside_of_compiled_code_they_say_so(function):
    with pytest.raises(TypeError, match="only be called from a compiled kernel"):
        function(1.0)
