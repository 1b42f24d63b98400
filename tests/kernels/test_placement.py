"""Results have the same bits wherever the arrays lie: near each other, far away, in either order, at any alignment.

The compiler gives a loop several forms and picks one at run time, among others by whether what is written lies close
behind what is read. A loop that stores and sums in an order the compiler may choose adds differently in each of them.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segcaffe import kernels
from segcaffe.kernels.normal import fill
from tests.gpu.cases import KERNEL_CASES, KernelCase, arrays_of, move_arrays
from tests.kernels.placement import LENGTHS, row_cases, small

Array = np.ndarray[Any, Any]
DTYPES = [np.float32, np.float64]
_GAPS = (0, 64, 1 << 16)
"""Bytes between one array and the next."""
_STARTS = (0, 4, 40)
"""Where the first array lies behind a page's beginning; float64 arrays begin at the next multiple of 8."""
_PAGE = 4096


def placed(arrays: list[Array], backwards: bool, gap: int, start: int) -> list[Array]:
    """Copies of the arrays behind one another in one buffer, in their order or the last one first."""
    size = sum(array.nbytes + gap + 8 for array in arrays) + start + _PAGE
    buffer = np.zeros(size, np.uint8)
    at = -buffer.ctypes.data % _PAGE + start
    copies: list[Array] = [*arrays]
    for i in sorted(range(len(arrays)), reverse=backwards):
        at += -at % arrays[i].itemsize
        copies[i] = buffer[at : at + arrays[i].nbytes].view(arrays[i].dtype).reshape(arrays[i].shape)
        copies[i][...] = arrays[i]
        at += arrays[i].nbytes + gap
    return copies


def placements(arguments: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments at every placement, and its name; arguments that are one array stay one."""
    distinct = list({id(array): array for array in arrays_of(arguments)}.values())
    for backwards, gap, start in itertools.product((False, True), _GAPS, _STARTS):
        copies = placed(distinct, backwards, gap, start)
        moved = {id(array): copy for array, copy in zip(distinct, copies, strict=True)}
        given = move_arrays(arguments, lambda array, moved=moved: moved[id(array)])
        yield f"{'last' if backwards else 'first'} array first, {gap} apart, from {start}", given


def results(package: str, name: str, arguments: dict[str, Any]) -> dict[str, Array]:
    """What the kernel writes."""
    function = getattr(importlib.import_module(f"segcaffe.kernels.{package}"), name)
    wanted = inspect.signature(function).parameters
    function(**{key: value for key, value in arguments.items() if key in wanted})
    written = {key: arrays_of({key: arguments[key]}) for key in function.writes}
    return {f"{key} {i}": array for key, arrays in written.items() for i, array in enumerate(arrays)}


def check(package: str, name: str, arguments: dict[str, Any]) -> None:
    """The kernel's results must have the bits of the first placement at every other."""
    expected: dict[str, Array] = {}
    for placement, moved in placements(arguments):
        received = results(package, name, moved)
        expected = expected or received
        for key, values in received.items():
            shapes = [array.shape for array in arrays_of(arguments)]
            assert values.tobytes() == expected[key].tobytes(), f"{package}.{name}: {key}; {placement}; {shapes}"


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("case", KERNEL_CASES, ids=lambda case: case.id)
def test_cases(case: KernelCase, dtype: Any) -> None:
    check(case.package, case.function, case.arguments(dtype))
    for arguments in small(case, case.arguments(dtype)):
        check(case.package, case.function, arguments)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
def test_rows(length: int, dtype: Any) -> None:
    for package, name, arguments in row_cases(np.random.default_rng(length), dtype, length):
        check(package, name, arguments)


def test_random_numbers() -> None:
    drawn = []
    for _, arguments in placements({"out": np.zeros(1001, np.float32)}):
        fill(7, 0.5, 1.0, arguments["out"])
        drawn.append(arguments["out"].tobytes())
    assert len(set(drawn)) == 1


def test_every_kernel_is_placed() -> None:
    folders = {package.name for package in pkgutil.iter_modules(kernels.__path__) if package.ispkg}
    packages = folders - set(kernels.TOOLBOXES)
    declared = {
        (package, name)
        for package in packages
        for name, value in vars(importlib.import_module(f"segcaffe.kernels.{package}")).items()
        if inspect.isfunction(value) and hasattr(value, "writes")
    }
    short = {(package, name) for package, name, _ in row_cases(np.random.default_rng(0), np.float32, 9)}
    shortened = {
        (case.package, case.function)
        for case in KERNEL_CASES
        if any(True for _ in small(case, case.arguments(np.float32)))
    }
    without = declared - short - shortened
    assert without == {("lstm", "forward"), ("lstm", "backward"), ("pooling", "stochastic_forward")}
    assert without <= {(case.package, case.function) for case in KERNEL_CASES}
