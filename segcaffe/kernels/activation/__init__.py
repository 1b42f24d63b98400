"""Activation functions of mobile and self-normalising nets; arrays as in `elementwise`, an output may be an input."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("y",))
def scaled_elu(x: Array, scale: float, alpha: float, y: Array) -> None:
    """Set y = scale·x where x > 0, else scale·alpha·(e^x - 1).   [Klambauer et al. 2017]."""


@kernel(writes=("dx",))
def scaled_elu_grad(x: Array, dy: Array, scale: float, alpha: float, dx: Array) -> None:
    """Set dx = scale·dy where x > 0, else scale·alpha·dy·e^x."""


@kernel(writes=("y",))
def mish(x: Array, y: Array) -> None:
    """Set y = x·tanh(ln(1 + e^x)).   [Misra 2019]."""


@kernel(writes=("dx",))
def mish_grad(x: Array, dy: Array, dx: Array) -> None:
    """Set dx = dy·(t + x·sigmoid(x)·(1 - t²)), t = tanh(ln(1 + e^x))."""


@kernel(writes=("y",))
def hard_sigmoid(x: Array, slope: float, shift: float, y: Array) -> None:
    """Set y = slope·x + shift, at least 0 and at most 1."""


@kernel(writes=("dx",))
def hard_sigmoid_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    """Set dx = slope·dy where slope·x + shift lies between 0 and 1, else 0."""


@kernel(writes=("y",))
def hard_swish(x: Array, slope: float, shift: float, y: Array) -> None:
    """Set y = x·h, h = slope·x + shift, at least 0 and at most 1.   [Howard et al. 2019]."""


@kernel(writes=("dx",))
def hard_swish_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    """Set dx = dy·(h + slope·x where slope·x + shift lies between 0 and 1)."""
