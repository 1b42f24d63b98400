"""How many parameters functions take: few enough to be read, and passed, without counting."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import segcaffe

PACKAGE = Path(segcaffe.__file__).parent
MOST, MOST_COMPILED = 9, 12
COMPILERS = (
    *("njit", "_helper", "_compiled", "_summing", "mapped", "mapped_apart"),
    *("intrinsic", "overload", "vector_code", "run_code", "lanes_code"),
)
"""Decorators whose functions are compiled."""
PYCAFFES = {("net/net.py", "__init__")}
"""Signatures that are pycaffe's, with keywords of our own behind."""
FUNCTIONS = ("functional/", "torch/inference.py", "torch/masks.py", "torch/operators.py")
"""Functions there take what a layer's options say, as ``torch.nn.functional``'s do."""


@functools.cache
def _functions() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                found.append((path.relative_to(PACKAGE).as_posix(), node))
    return found


def _parameters(function: ast.FunctionDef) -> int:
    """Without the object a method belongs to and the compiler's context, or what writes code, of an intrinsic."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"], ["typing"], ["vectors"], ["runs"], ["lanes"]))


def _is_compiled(function: ast.FunctionDef) -> bool:
    called = (one.func if isinstance(one, ast.Call) else one for one in function.decorator_list)
    return any(isinstance(one, ast.Name) and one.id in COMPILERS for one in called)


def test_functions_take_few_parameters() -> None:
    assert sum(_is_compiled(function) for _, function in _functions()) > 200
    for path, function in _functions():
        most = MOST_COMPILED if _is_compiled(function) else MOST
        if path.startswith(FUNCTIONS):
            continue
        if (path, function.name) not in PYCAFFES:
            assert _parameters(function) <= most, f"{path}:{function.lineno}: {function.name}: bundle some"


def test_the_exceptions_exist() -> None:
    assert {(path, function.name) for path, function in _functions() if _parameters(function) > MOST} >= PYCAFFES
