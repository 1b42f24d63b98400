"""Draws docs/images/house.svg, the rooms of the package and who imports whom: python tools/draw_house.py [--check].

A room is a folder or a module directly in ``segcaffe/``. Arrows go to what is imported; those that others imply are
left out. ``FLOORS`` has the order, which tests/test_architecture.py holds the imports to.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "house.svg"
ALONE, TEXT, MACHINE = "need nothing but errors", "text and messages", "the machine"
ARRAYS, NETS, RUNS, DOORS = "arrays and files", "nets", "runs", "doors"
FLOORS = {
    ALONE: ("version", "wiring", "text", "errors", "files", "plan"),
    TEXT: ("proto", "window", "glog", "trust"),
    MACHINE: ("device", "jit", "threads", "kernels", "parallel"),
    ARRAYS: ("blob", "detection", "snapshot", "convert", "data", "metrics", "functional"),
    NETS: ("layers", "graph", "fusion", "weights", "net"),
    RUNS: ("solver", "viz", "predict", "dnn", "testing", "export", "torch", "densecrf"),
    DOORS: ("pycaffe", "lint", "recipes", "surgery", "cli", "segcaffe", "__main__"),
}
"""The rooms, lowest first: each may import those before it. ``segcaffe`` is the package's own module."""
LEGEND = 170
"""Width of the column beside the drawing."""
COLOURS = dict(zip(FLOORS, ["#eeeeee", "#fde7c8", "#f9d5d0", "#e3dcf3", "#d3e6f8", "#d5efdf", "#f8f3c9"], strict=True))


class Import(NamedTuple):
    """A module imports another; ``line`` is where it does."""

    importer: str
    line: int
    imported: str


def modules(package: Path) -> dict[str, Path]:
    """All modules of a package, a folder, by their names."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(package: Path) -> list[Import]:
    """Every import of one module of the package by another.

    Those inside functions and for type checkers count, and so do modules whose names stand as strings, as
    ``importlib.import_module`` takes them.
    """
    known = modules(package)
    found = set()
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported in _imported(node, known):
                if imported != name:
                    found.add(Import(name, node.lineno, imported))
    return sorted(found)


def _imported(node: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        if node.level:
            raise ValueError(f"line {node.lineno}: imports of the package are absolute")
        for name in node.names:
            inner = f"{node.module}.{name.name}"
            yield from [module for module in (inner, node.module) if module in known][:1]
    elif isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name in known)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        yield from {node.value.partition(":")[0]} & known.keys()


def room(module: str) -> str:
    """The room of a module: what stands behind the package's name; the package's own name for its own module."""
    parts = module.split(".")
    return parts[min(1, len(parts) - 1)]


def circles(arrows: Mapping[str, Set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, sorted."""
    reach = {node: _reached(arrows, node) for node in arrows}
    groups = {tuple(sorted(other for other in reach[node] if node in reach.get(other, ()))) for node in arrows}
    return sorted(list(group) for group in groups if group)


def _reached(arrows: Mapping[str, Set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += arrows.get(node, ())
    return found


def room_arrows() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    arrows: dict[str, set[str]] = {name: set() for floor in FLOORS.values() for name in floor}
    unplaced = {room(name) for name in modules(ROOT / "segcaffe")} - arrows.keys()
    if unplaced:
        sys.exit(f"FLOORS in tools/draw_house.py lacks {', '.join(sorted(unplaced))}: say which rooms may import it.")
    for importer, _, imported in imports(ROOT / "segcaffe"):
        if room(importer) != room(imported):
            arrows[room(importer)].add(room(imported))
    return arrows


def drawing() -> str:
    """The picture as SVG text."""
    from segcaffe.viz.layered_layout import layout
    from segcaffe.viz.net_svg import curve

    arrows = room_arrows()
    names = [name for floor in reversed(FLOORS.values()) for name in reversed(floor)]
    edges = [
        (names.index(upper), names.index(lower))
        for upper in names
        for lower in sorted(arrows[upper])
        if not any(lower in _reached(arrows, other) for other in arrows[upper] - {lower})
    ]
    placed = layout([(7.5 * len(name) + 24, 28) for name in names], edges, gaps=(18, 34))
    size = f"{placed.width + LEGEND:.0f}", f"{placed.height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="0 0 {" ".join(size)}" '
        'font-family="Helvetica,Arial,sans-serif" font-size="13">',
        "<title>The rooms of the package and what they import</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for (_, end), points in zip(edges, placed.routes, strict=True):
        (x, y), tip = points[-1], placed.centres[end]
        points[-1] = (x, tip[1] - 15 if y >= tip[1] else y)
        lines.append(f'<path d="{curve(points)}" fill="none" stroke="#777" marker-end="url(#arrow)"/>')
    floor_of = {name: floor for floor, names in FLOORS.items() for name in names}
    for name, (x, y) in zip(names, placed.centres, strict=True):
        lines += _box(name, x, y, 7.5 * len(name) + 24, COLOURS[floor_of[name]])
    return "\n".join([*lines, *_legend(placed.width), "</svg>\n"])


def _box(name: str, x: float, y: float, width: float, colour: str) -> list[str]:
    return [
        f'<rect x="{x - width / 2:.0f}" y="{y - 14:.0f}" width="{width:.0f}" height="28" rx="4" fill="{colour}" '
        'stroke="#555"/>',
        f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{name}</text>',
    ]


def _legend(left: float) -> list[str]:
    lines = []
    for i, (floor, colour) in enumerate(reversed(COLOURS.items())):
        y = 20 + 24 * i
        lines.append(f'<rect x="{left:.0f}" y="{y}" width="14" height="14" fill="{colour}" stroke="#555"/>')
        lines.append(f'<text x="{left + 20:.0f}" y="{y + 12}">{floor}</text>')
    return lines


def main() -> int:
    """Draw, or with ``--check`` tell whether the picture is up to date."""
    if "--check" in sys.argv[1:]:
        stale = PICTURE.read_text(encoding="utf-8") != drawing()
        print(f"docs/images/{PICTURE.name} is out of date; run python tools/draw_house.py" if stale else "", end="")
        return int(stale)
    PICTURE.write_text(drawing(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
