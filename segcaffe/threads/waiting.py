"""Waiting for another thread without going to sleep.

A thread that sleeps takes 50 to 100 microseconds to wake up, longer than many passes over a blob take. `watch` looks at
a number in memory for a short while instead, with the GIL released and the processor told that it is waiting.

Whoever changes the number holds the GIL, and a thread that finds the GIL taken goes to sleep as well. So `watch` waits
a little longer after it has seen the change, until the other thread is likely to have released the GIL.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from segcaffe.jit.compiled import njit

_PAUSES = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "AMD64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "arm64": ("llvm.aarch64.hint", (1,)),
}
"""The instruction that tells the processor that its thread is waiting, by machine."""


@intrinsic
def _load(typing_context: Any, array: Any) -> Any:
    """The first element, as other threads have left it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(array), generate


@intrinsic
def _pause(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if platform.machine() in _PAUSES:
            name, values = _PAUSES[platform.machine()]
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)] * len(values))
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(function, [ir.Constant(ir.IntType(32), value) for value in values])
        return context.get_dummy_value()

    return types.void(), generate


@njit("int64(int64[::1], int64, int64, int64)", nogil=True, cache=True)
def watch(cell, old, pauses, settling):
    """Wait until ``cell[0]`` is not ``old`` any more; return what it is.

    Parameters
    ----------
    cell:
        (1,) int64, which another thread changes.
    old:
        The value to wait the end of.
    pauses:
        How long to wait at most, in pauses.
    settling:
        How long to wait after the change, if it did not come before the call, in pauses.
    """
    if _load(cell) != old:
        return _load(cell)
    while _load(cell) == old:
        if pauses <= 0:
            return old
        pauses -= 1
        _pause()
    for _ in range(settling):
        _pause()
    return _load(cell)


def pauses_per_microsecond() -> float:
    """How many pauses of `watch` take a microsecond on this machine, at most."""
    cell, count = np.zeros(1, np.int64), 2000
    times = []
    for _ in range(3):
        start = time.perf_counter()
        watch(cell, 0, count, 0)
        times.append(time.perf_counter() - start)
    return count / (1e6 * min(times))
