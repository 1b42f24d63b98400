"""Tables of measurements in pages of the documentation, written by the scripts that measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
END = "<!-- end of the table -->"


def write_rows(page: str, table: str, rows: Sequence[str]) -> None:
    """Put rows into the table that stands behind ``<!-- table -->`` of ``docs/<page>.md``.

    A row takes the place of the one with the same first cell; others come last. SystemExit if the page has no such
    table.
    """
    path, mark = DOCS / f"{page}.md", f"<!-- {table} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(mark)
    held, ended, behind = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{path} has no place for this table: {mark}")
    lines = held.strip().splitlines()
    for row in rows:
        same = [place for place, line in enumerate(lines) if _name(line) == _name(row)]
        if same:
            lines[same[0]] = row
        else:
            lines.append(row)
    path.write_text(before + "\n".join([mark, "", *lines, "", END]) + behind, encoding="utf-8")


def _name(row: str) -> str:
    return row.split("|")[1].strip() if row.count("|") > 1 else row
