"""Softmax on the GPU: a thread, or where columns are few and long a block, for each column."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch, launch_blocks

_LONG = 64
"""Classes that are worth a block."""
_MANY = 8192
"""Columns that fill a device with a thread each."""


def forward(x: Array, out: Array) -> None:
    _run("forward", x, out)


def backward(prob: Array, grad: Array, out: Array) -> None:
    _run("backward", prob, grad, out)


def _run(function: str, *arrays: Array) -> None:
    outer, classes, inner = arrays[0].shape
    columns = outer * inner
    if classes >= _LONG and columns < _MANY:
        launch_blocks("softmax", f"{function}_long", columns, *arrays, classes, inner)
    else:
        launch("softmax", function, columns, *arrays, classes, inner, columns)
