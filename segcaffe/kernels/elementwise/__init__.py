"""Maps from arrays to an array of the same shape, element by element.

Every array is contiguous and of one shape; the output may be the very array that is an input. ``x`` is a layer's
input, ``y`` its output, ``dy`` and ``dx`` the gradients with respect to them.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("y",))
def linear(x: Array, scale: float, shift: float, y: Array) -> None:
    """Set y = scale·x + shift."""


@kernel(writes=("dx",))
def linear_multiply(x: Array, dy: Array, scale: float, shift: float, dx: Array) -> None:
    """Set dx = dy·(scale·x + shift)."""


@kernel(writes=("y",))
def combine(a: Array, scale_a: float, b: Array, scale_b: float, y: Array) -> None:
    """Set y = scale_a·a + scale_b·b."""


@kernel(writes=("y",))
def multiply(a: Array, b: Array, scale: float, y: Array) -> None:
    """Set y = scale·a·b."""


@kernel(writes=("y",))
def multiply_sign(a: Array, x: Array, scale: float, y: Array) -> None:
    """Set y = scale·a·sign(x), where sign(0) = 0."""


@kernel(writes=("y",))
def divide_multiply(a: Array, b: Array, c: Array, y: Array) -> None:
    """Set y = a / b · c."""


@kernel(writes=("y", "mask"))
def maximum(a: Array, b: Array, index: int, y: Array, mask: Array) -> None:
    """Set y = max(a, b); where b is greater, or equal and ``index`` is 1, the integer ``mask`` becomes ``index``.

    With ``index`` 1 the mask becomes 0 where a is greater; with a higher one it stays there.
    """


@kernel(writes=("y",))
def select(a: Array, mask: Array, index: int, y: Array) -> None:
    """Set y = a where mask is ``index``, else 0."""


@kernel(writes=("y",))
def absolute(x: Array, y: Array) -> None:
    """Set y = |x|."""


@kernel(writes=("y",))
def relu(x: Array, slope: float, y: Array) -> None:
    """Set y = x where x > 0, else slope·x (0 where the slope is 0, also for minus infinity)."""


@kernel(writes=("dx",))
def relu_grad(x: Array, dy: Array, slope: float, dx: Array) -> None:
    """Set dx = dy where x > 0, else slope·dy."""


@kernel(writes=("y",))
def elu(x: Array, alpha: float, y: Array) -> None:
    """Set y = x where x > 0, else alpha·(e^x - 1)."""


@kernel(writes=("dx",))
def elu_grad(x: Array, dy: Array, alpha: float, dx: Array) -> None:
    """Set dx = dy where x > 0, else dy·alpha·e^x."""


@kernel(writes=("y",))
def exponential(x: Array, inner: float, outer: float, y: Array) -> None:
    """Set y = outer·e^(inner·x)."""


@kernel(writes=("y",))
def logarithm(x: Array, scale: float, shift: float, outer: float, y: Array) -> None:
    """Set y = outer·ln(scale·x + shift)."""


@kernel(writes=("dx",))
def reciprocal_grad(x: Array, dy: Array, scale: float, shift: float, outer: float, dx: Array) -> None:
    """Set dx = outer·dy / (scale·x + shift)."""


@kernel(writes=("y",))
def power(x: Array, scale: float, shift: float, exponent: float, y: Array) -> None:
    """Set y = (scale·x + shift)^exponent; NaN for a negative number to a power that is not whole."""


@kernel(writes=("y",))
def sigmoid(x: Array, y: Array) -> None:
    """Set y = 1 / (1 + e^-x)."""


@kernel(writes=("dx",))
def sigmoid_grad(y: Array, dy: Array, dx: Array) -> None:
    """Set dx = dy·y·(1 - y)."""


@kernel(writes=("y",))
def tanh(x: Array, y: Array) -> None:
    """Set y = tanh(x)."""


@kernel(writes=("dx",))
def tanh_grad(y: Array, dy: Array, dx: Array) -> None:
    """Set dx = dy·(1 - y²)."""


@kernel(writes=("y",))
def swish(x: Array, beta: float, y: Array) -> None:
    """Set y = x·sigmoid(beta·x)."""


@kernel(writes=("dx",))
def swish_grad(x: Array, dy: Array, beta: float, dx: Array) -> None:
    """Set dx = dy·(s + beta·x·s·(1 - s)), s = sigmoid(beta·x)."""


@kernel(writes=("y",))
def softplus(x: Array, y: Array) -> None:
    """Set y = ln(1 + e^x)."""


@kernel(writes=("dx",))
def softplus_grad(x: Array, dy: Array, dx: Array) -> None:
    """Set dx = dy·sigmoid(x)."""


@kernel(writes=("y",))
def clip(x: Array, low: float, high: float, y: Array) -> None:
    """Set y = x, at least ``low`` and at most ``high``."""


@kernel(writes=("dx",))
def clip_grad(x: Array, dy: Array, low: float, high: float, dx: Array) -> None:
    """Set dx = dy where low <= x <= high, else 0."""


@kernel(writes=("y",))
def threshold(x: Array, limit: float, y: Array) -> None:
    """Set y = 1 where x > limit, else 0."""


@kernel(writes=("y",))
def dropout(x: Array, seed: int, ratio: float, y: Array) -> None:
    """Set y = 0 with probability ``ratio``, else x / (1 - ratio).

    Which elements are dropped depends on the 64-bit ``seed`` and their position only: the gradient is the same
    function with the same seed, and any device drops the same ones.
    """
