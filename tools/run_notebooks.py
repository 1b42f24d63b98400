"""Runs the notebooks of examples/ without Jupyter, and writes their outputs: tools/run_notebooks.py [NAME.ipynb ...].

A cell's output is what it prints, and, where its last line is a value with a picture (``_repr_png_``), that picture.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "examples"


class Output(NamedTuple):
    """What a cell prints, and its picture, PNG, if it ends with one."""

    printed: str
    picture: bytes | None


def read(path: Path) -> dict[str, Any]:
    """A notebook's content."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def run(path: Path, notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Output]]:
    """Run the cells with code one after the other: each with its output."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            yield cell, _run_cell("".join(cell["source"]), f"{path.name}, {cell['id']}", names)


def _run_cell(source: str, name: str, names: dict[str, Any]) -> Output:
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    picture = value._repr_png_() if hasattr(value, "_repr_png_") else None
    return Output(printed.getvalue(), picture)


def outputs(output: Output) -> list[dict[str, Any]]:
    """An output as notebooks hold it."""
    held: list[dict[str, Any]] = []
    if output.printed:
        held.append({"name": "stdout", "output_type": "stream", "text": output.printed.splitlines(keepends=True)})
    if output.picture is not None:
        data = {"image/png": base64.b64encode(output.picture).decode(), "text/plain": ["<a picture>"]}
        held.append({"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data})
    return held


def main() -> int:
    """Write the outputs of the notebooks that are named, or of all."""
    for path in [FOLDER / name for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        notebook = read(path)
        with tempfile.TemporaryDirectory() as folder:
            here = Path.cwd()
            os.chdir(folder)
            for cell, output in run(path, notebook):
                cell["outputs"] = outputs(output)
            os.chdir(here)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
