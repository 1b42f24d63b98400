"""Exponential, logarithm, sigmoid and tanh for compiled kernels, written so that loops over them become SIMD code.

Numba compiles `math.exp` on float32 to a call of the C library per element. The functions here are polynomials and bit
operations instead, which the compiler turns into vector instructions inside the caller's loop (about ten times
faster). They are for float32, with an error of 1 to 2 units in the last place; float64 goes to the C library.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from segcaffe.jit.compiled import CONTRACT, njit

_LOG2E = np.float32(1.44269504088896341)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
# Adding 1.5 * 2^23 rounds a small float32 to an integer and leaves that integer in its low bits.
_ROUND = np.float32(12582912.0)
_ROUND_BITS = np.int32(0x4B400000)
_EXP_LOW = np.float32(-87.33654)
_EXP_HIGH = np.float32(88.72283)
_C1 = np.float32(0.5)
_C2 = np.float32(1.6666665459e-1)
_C3 = np.float32(4.1665795894e-2)
_C4 = np.float32(8.3334519073e-3)
_C5 = np.float32(1.3981999507e-3)
_C6 = np.float32(1.9875691500e-4)
_T3, _T5 = np.float32(-1 / 3), np.float32(2 / 15)
_T7, _T9 = np.float32(-17 / 315), np.float32(62 / 2835)
_SERIES = np.float32(0.0625)
_L1 = np.float32(-0.5)
_L2 = np.float32(3.3333331174e-1)
_L3 = np.float32(-2.4999993993e-1)
_L4 = np.float32(2.0000714765e-1)
_L5 = np.float32(-1.6668057665e-1)
_L6 = np.float32(1.4249322787e-1)
_L7 = np.float32(-1.2420140846e-1)
_L8 = np.float32(1.1676998740e-1)
_L9 = np.float32(-1.1514610310e-1)
_L10 = np.float32(7.0376836292e-2)
_SMALLEST_NORMAL = np.float32(2.0**-126)
_TO_NORMAL = np.float32(2.0**24)
_TO_NORMAL_POWER = np.float32(24.0)
_SMALLEST_NORMAL_BITS = np.int32(0x00800000)
NORMAL = np.uint32(0x7F000000)
"""What `abnormal` gives is smaller for positive normal numbers."""
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_NAN = np.float32(np.nan)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_ZERO = np.float32(0.0)
_INF = np.float32(np.inf)


@intrinsic
def _bits(_typing: Any, value: Any) -> Any:
    """The bits of a float32 as an int32."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), codegen


@intrinsic
def _from_bits(_typing: Any, value: Any) -> Any:
    """The float32 that has the bits of an int32."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), codegen


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _exp32(x):
    """Exponential of a float32: 0 below the smallest normal result, inf above the largest; NaN stays NaN."""
    shifted = x * _LOG2E + _ROUND
    n = shifted - _ROUND
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = ((((_C6 * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r + _C1
    p = p * (r * r) + r + _ONE
    # 2^n in two factors, so that n = 128 does not overflow the exponent field.
    k = np.int32(_bits(shifted) - _ROUND_BITS)
    half = np.int32(k >> np.int32(1))
    rest = np.int32(k - half)
    a = _from_bits(np.int32((half + np.int32(127)) << np.int32(23)))
    b = _from_bits(np.int32((rest + np.int32(127)) << np.int32(23)))
    y = p * a * b
    y = _ZERO if x < _EXP_LOW else y
    return _INF if x > _EXP_HIGH else y


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _log32(x):
    """Logarithm of a float32: -inf at 0, NaN below."""
    tiny = x < _SMALLEST_NORMAL
    y = _log32_normal(x * _TO_NORMAL if tiny else x, _TO_NORMAL_POWER if tiny else _ZERO)
    y = x if x == _INF else y
    y = -_INF if x == _ZERO else y
    return y if x >= _ZERO else _NAN


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _log32_normal(x, power):
    """Logarithm of x / 2^power, x being a positive normal float32; any number for other x."""
    bits = _bits(x)
    # x = 2^n (1 + m) with 1 + m between the roots of 1/2 and of 2, where the series in m converges fast.
    k = np.int32((bits - _SQRT_HALF_BITS) >> np.int32(23))
    m = _from_bits(np.int32(bits - np.int32(k << np.int32(23)))) - _ONE
    n = np.float32(k) - power
    p = (((((((_L10 * m + _L9) * m + _L8) * m + _L7) * m + _L6) * m + _L5) * m + _L4) * m + _L3) * m + _L2
    y = (p * m + _L1) * (m * m) + n * _LN2_LOW
    return m + y + n * _LN2_HIGH


@njit(nogil=True, cache=True)
def _abnormal32(x):
    """An unsigned number below `NORMAL` where x is a positive normal float32, at least as large elsewhere."""
    return np.uint32(np.int32(_bits(x) - _SMALLEST_NORMAL_BITS))


# Without Numba's check for a zero divisor, which would keep the loop from becoming SIMD code.
@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _sigmoid32(x):
    return _ONE / (_ONE + _exp32(-x))


@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _tanh32(x):
    # Near 0 the quotient would lose the digits that the power series keeps.
    s = x * x
    series = x + x * s * (_T3 + s * (_T5 + s * (_T7 + s * _T9)))
    quotient = _ONE - _TWO / (_ONE + _exp32(_TWO * x))
    return series if s < _SERIES else quotient


@njit(nogil=True, cache=True, error_model="numpy")
def _log64(x):
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _sigmoid64(x):
    return 1.0 / (1.0 + math.exp(-x))


def exp(x: float) -> float:
    """Exponential function; callable from compiled kernels only."""
    raise TypeError("vector_math.exp can only be called from a compiled kernel")


def log(x: float) -> float:
    """Natural logarithm; callable from compiled kernels only."""
    raise TypeError("vector_math.log can only be called from a compiled kernel")


def log_normal(x: float) -> float:
    """Natural logarithm of a positive normal number, faster than `log`; callable from compiled kernels only."""
    raise TypeError("vector_math.log_normal can only be called from a compiled kernel")


def abnormal(x: float) -> int:
    """Less than `NORMAL` where `log_normal` may be used; callable from compiled kernels only."""
    raise TypeError("vector_math.abnormal can only be called from a compiled kernel")


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)); callable from compiled kernels only."""
    raise TypeError("vector_math.sigmoid can only be called from a compiled kernel")


def tanh(x: float) -> float:
    """Hyperbolic tangent; callable from compiled kernels only."""
    raise TypeError("vector_math.tanh can only be called from a compiled kernel")


@overload(exp, inline="always")
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@overload(log, inline="always")
def _log(x):
    if x == types.float32:
        return lambda x: _log32(x)
    return lambda x: _log64(x)


@overload(log_normal, inline="always")
def _log_normal(x):
    if x == types.float32:
        return lambda x: _log32_normal(x, _ZERO)
    return lambda x: _log64(x)


@overload(abnormal, inline="always")
def _abnormal(x):
    if x == types.float32:
        return lambda x: _abnormal32(x)
    return lambda x: np.uint32(0)


@overload(sigmoid, inline="always")
def _sigmoid(x):
    if x == types.float32:
        return lambda x: _sigmoid32(x)
    return lambda x: _sigmoid64(x)


@overload(tanh, inline="always")
def _tanh(x):
    if x == types.float32:
        return lambda x: _tanh32(x)
    return lambda x: math.tanh(x)
