"""The functions and classes that come with a written file: read from ``pieces/``, with what they need themselves."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "pieces"
_IMPORTS = {
    "math": "import math",
    "Callable": "from collections.abc import Callable",
    "Sequence": "from collections.abc import Sequence",
    "Any": "from typing import Any",
    "torch": "import torch",
    "F": "import torch.nn.functional as F",
    "Tensor": "from torch import Tensor",
    "nn": "from torch import nn",
}


IMPORTED = frozenset(_IMPORTS)
"""Names that the imports of a file may bring."""


class Piece(NamedTuple):
    """A definition: its text, what else of the pieces it needs, its place among them, and whether it is a constant."""

    text: str
    needs: frozenset[str]
    place: tuple[str, int]
    constant: bool


@cache
def pieces() -> dict[str, Piece]:
    """All pieces by name. They are read, not imported, so that a file can be written without PyTorch."""
    found: dict[str, Piece] = {}
    for path in sorted(_FOLDER.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            name = _defined(node)
            if name:
                text = _text(source, node)
                is_constant = isinstance(node, ast.Assign)
                found[name] = Piece(text, frozenset(_names(node)) - {name}, (path.name, node.lineno), is_constant)
    return {name: piece._replace(needs=piece.needs & found.keys()) for name, piece in found.items()}


def with_needs(names: set[str]) -> list[Piece]:
    """The pieces of these names and all that they need: constants first, and what is used before what uses it."""
    known, done = pieces(), dict[str, Piece]()

    def add(name: str) -> None:
        if name not in done:
            for other in sorted(known[name].needs, key=lambda one: known[one].place):
                add(other)
            done[name] = known[name]

    for name in sorted(names, key=lambda one: known[one].place):
        add(name)
    return sorted(done.values(), key=lambda piece: not piece.constant)


def imports(source: str) -> list[str]:
    """The import statements that ``source`` needs, in isort's order."""
    used = _names(ast.parse(source))
    wanted = [text for name, text in _IMPORTS.items() if name in used]
    if "from torch import Tensor" in wanted and "from torch import nn" in wanted:
        wanted = [text for text in wanted if text != "from torch import nn"]
        wanted[wanted.index("from torch import Tensor")] = "from torch import Tensor, nn"
    collections = [text for text in wanted if text.startswith("from collections")]
    if len(collections) > 1:
        wanted.remove(collections[1])
        wanted[wanted.index(collections[0])] = "from collections.abc import Callable, Sequence"
    standard = [text for text in wanted if "torch" not in text]
    other = [text for text in wanted if "torch" in text]
    return [*standard, *([""] if standard and other else []), *other]


def _defined(node: ast.stmt) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _text(source: str, node: ast.stmt) -> str:
    """The definition's own lines, decorators and noqa comments as they stand."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
