"""Element-wise maps on the GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from segcaffe.kernels import elementwise as contract
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.dispatch import in_order

Array = Any
_run = functools.partial(launch, "elementwise")


def _launched(declared: Callable[..., None], function: str = "") -> Callable[..., None]:
    """Launch the CUDA function of the same name for each element, with the declared arguments and the number."""

    @functools.wraps(declared)
    def run(*arguments: Any, **named: Any) -> None:
        ordered = in_order(declared, arguments, named)
        _run(function or declared.__name__, ordered[-1].size, *ordered, ordered[-1].size)

    return run


linear = _launched(contract.linear)
linear_multiply = _launched(contract.linear_multiply)
combine = _launched(contract.combine)
multiply = _launched(contract.multiply)
multiply_sign = _launched(contract.multiply_sign)
divide_multiply = _launched(contract.divide_multiply)
absolute = _launched(contract.absolute)
relu = _launched(contract.relu)
relu_grad = _launched(contract.relu_grad)
elu = _launched(contract.elu)
elu_grad = _launched(contract.elu_grad)
exponential = _launched(contract.exponential)
logarithm = _launched(contract.logarithm)
reciprocal_grad = _launched(contract.reciprocal_grad)
power = _launched(contract.power)
sigmoid = _launched(contract.sigmoid)
sigmoid_grad = _launched(contract.sigmoid_grad)
tanh_grad = _launched(contract.tanh_grad)
swish = _launched(contract.swish)
swish_grad = _launched(contract.swish_grad)
softplus = _launched(contract.softplus)
softplus_grad = _launched(contract.softplus_grad)
clip = _launched(contract.clip)
clip_grad = _launched(contract.clip_grad)
threshold = _launched(contract.threshold)
tanh = _launched(contract.tanh, "hyperbolic")


def maximum(a: Array, b: Array, index: int, y: Array, mask: Array) -> None:
    _run(f"maximum{_many(mask)}", y.size, a, b, index, y, mask, y.size)


def select(a: Array, mask: Array, index: int, y: Array) -> None:
    _run(f"select{_many(mask)}", y.size, a, mask, index, y, y.size)


def dropout(x: Array, seed: int, ratio: float, y: Array) -> None:
    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    limit = min(round(ratio * 2**32), 2**32 - 1)
    _run("dropout", y.size, x, low, high, limit, 1 / (1 - ratio), y, y.size)


def _many(mask: Array) -> str:
    """Which of two functions: for masks of one byte, or of four where there are many arrays to tell apart."""
    return "" if mask.dtype.itemsize == 1 else "_of_many"
