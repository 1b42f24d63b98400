"""Numba takes forty times as long to hand over a NamedTuple whose name and fields another class has, too."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import segcaffe


def _named_tuples(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name and the fields of each class that is a NamedTuple."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("NamedTuple") for base in node.bases):
            yield node.name, tuple(ast.unparse(line.target) for line in node.body if isinstance(line, ast.AnnAssign))


def test_no_two_kernels_have_named_tuples_of_one_name_and_the_same_fields() -> None:
    found = defaultdict(list)
    for path in sorted((Path(segcaffe.__file__).parent / "kernels").rglob("*.py")):
        for each in _named_tuples(ast.parse(path.read_text(encoding="utf-8"))):
            found[each].append(path.name)
    assert len(found) > 20
    assert not {each: paths for each, paths in found.items() if len(paths) > 1}
