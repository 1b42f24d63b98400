"""The compiled exponential, sigmoid and hyperbolic tangent against the C library in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from segcaffe.kernels import elementwise
from segcaffe.kernels.vector import vector_math

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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_logarithms_among_ordinary_and_other_numbers(dtype, tolerance):
    x = np.random.default_rng(1).uniform(1e-3, 1e3, 5000).astype(dtype)
    x[[1024, 1030, 3000, 3001, 3002, 4999]] = [0, np.inf, -1, np.nan, 1e-40, 1e-30]
    y = np.empty_like(x)
    elementwise.logarithm(x, 1.0, 0.0, 1.0, y)
    with np.errstate(all="ignore"):
        expected = np.log(x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "function", [exp, sigmoid, tanh, vector_math.log, vector_math.log_normal, vector_math.abnormal]
)
def test_outside_of_compiled_code_they_say_so(function):
    with pytest.raises(TypeError, match="only be called from a compiled kernel"):
        function(1.0)
