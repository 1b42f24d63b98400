"""Writes what `segcaffe reproduce` gave into docs/reproduction.md: python tools/measure_reproduction.py FOLDER...

Each FOLDER is the --out of a command that the page prints; by its name the page has places for its tables, for those of
its ablations, or for both. What is there already is replaced, that of other folders stays. Pictures that the page
shows, of the gains and of ablations, are copied, too.

    segcaffe reproduce --out scenes
    python tools/measure_reproduction.py scenes
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reproduction.md"
PICTURES = ROOT / "docs" / "images"
KINDS = {"tables": "table.md", "ablations": "ablations.md"}
"""What the page has of a folder, and the file of its report that has it."""


def marks(name: str, kind: str = "tables") -> tuple[str, str]:
    """The lines before and after the tables of a folder."""
    return f"<!-- {kind} of {name} -->\n", f"<!-- end of the {kind} of {name} -->\n"


def pictures_of(name: str) -> dict[str, str]:
    """Names of a folder's pictures in docs/images/, by those that they have in its report."""
    return {"gain.png": f"reproduction_{name}.png", "ablations.png": f"reproduction_{name}_intervals.png"}


def written(page: str, name: str, tables: dict[str, str]) -> str:
    """The page with these tables, by their kind."""
    known = {kind for kind in tables if marks(name, kind)[0] in page}
    if not known:
        begin, end = marks(name)
        sys.exit(f'{PAGE} has no place for the tables of "{name}": {begin.strip()} {end.strip()}')
    for kind in sorted(known):
        begin, end = marks(name, kind)
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{tables[kind]}\n{end}{rest.partition(end)[2]}"
    return page


def tables_of(folder: Path) -> dict[str, str]:
    """The tables of a folder's report by their kind, each with how many seeds it is of, and of which images."""
    report = folder / "report"
    results = json.loads((report / "results.json").read_text())
    about = textwrap.fill(f"{results['seeds']} seeds. {results['about']}", 120)
    found = {kind: report / file for kind, file in KINDS.items() if (report / file).exists()}
    return {kind: f"{about}\n\n{file.read_text()}" for kind, file in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for folder in parser.parse_args(arguments).folders:
        name = folder.resolve().name
        PAGE.write_text(written(PAGE.read_text(), name, tables_of(folder)))
        for made, shown in pictures_of(name).items():
            source = folder / "report" / made
            if source.exists() and (PICTURES / shown).exists():
                shutil.copyfile(source, PICTURES / shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
