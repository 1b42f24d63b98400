"""Orders CHANGELOG.md by area and wraps its lines: python tools/sort_changelog.py [--check].

Git keeps both sides' lines where branches add to the list (`.gitattributes`), which puts lines in any order and can
double them. Of entries that begin alike the first stays, and the others are told: say by hand what they have more.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"
AREA = re.compile(r"- \*\*(.+?):\*\* ")
BEGINNING = 60
"""Entries with as many equal characters at their beginning are about the same change."""


def areas(text: str) -> list[str]:
    """The areas in their order, as the page's introduction names them."""
    introduction = " ".join(text.split("## ", 1)[0].split())
    named = re.search(r"lines of that area: (.*?)\. \[", introduction)
    if not named:
        raise SystemExit("CHANGELOG.md: the introduction must name the areas after 'lines of that area:'")
    return re.split(r", (?![^(]*\))", re.sub(r" \([^)]*\)", "", named[1]))


def ordered(text: str) -> tuple[str, list[str]]:
    """The page in order, and entries that were left out because another begins alike."""
    order, left_out = areas(text), []
    parts = re.split(r"^(- (?:.+\n)+?)(?=- |\n|\Z)", text, flags=re.MULTILINE)
    pages, block = [], []
    for part in parts:
        if part.startswith("- "):
            block.append(" ".join(part.split()))
        elif part.strip():
            pages += [*_block(block, order, left_out), part]
            block = []
    return "".join([*pages, *_block(block, order, left_out)]), left_out


def _block(entries: list[str], order: list[str], left_out: list[str]) -> list[str]:
    """One list in order, each entry wrapped."""
    kept: dict[str, str] = {}
    for entry in entries:
        if kept.setdefault(entry[:BEGINNING], entry) != entry:
            left_out.append(entry)
    return [
        textwrap.fill(entry, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) + "\n"
        for entry in sorted(kept.values(), key=lambda entry: _rank(entry, order))
    ]


def _rank(entry: str, order: list[str]) -> int:
    area = AREA.match(entry)
    if not area or area[1] not in order:
        raise SystemExit(f"CHANGELOG.md: an entry begins with '- **Area:** ', Area one of {', '.join(order)}: {entry}")
    return order.index(area[1])


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only; exit status 1 where it differs")
    check = parser.parse_args().check
    text = CHANGELOG.read_text()
    new, left_out = ordered(text)
    if check:
        if new != text:
            sys.exit("CHANGELOG.md is not in order; run: python tools/sort_changelog.py")
        return
    CHANGELOG.write_text(new)
    for entry in left_out:
        print(f"left out: {entry}")


if __name__ == "__main__":
    main()
