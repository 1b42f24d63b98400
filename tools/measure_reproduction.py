"""Writes what `segcaffe reproduce` gave into docs/reproduction.md: python tools/measure_reproduction.py FOLDER...

Each FOLDER is the --out of a command that the page prints; its name says which tables it has. Tables that are in the
page already are replaced, those of other folders stay. Pictures that the page shows, of the gains and of ablations, are
copied, too.

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


def marks(name: str) -> tuple[str, str]:
    """The lines before and after the tables of a folder."""
    return f"<!-- tables of {name} -->\n", f"<!-- end of the tables of {name} -->\n"


def pictures_of(name: str) -> dict[str, str]:
    """Names of a folder's pictures in docs/images/, by those that they have in its report."""
    return {"gain.png": f"reproduction_{name}.png", "ablations.png": f"reproduction_{name}_ablations.png"}


def written(page: str, name: str, tables: str) -> str:
    """The page with these tables."""
    begin, end = marks(name)
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        sys.exit(f'{PAGE} has no place for the tables of "{name}": {begin.strip()} {end.strip()}')
    return f"{before}{begin}\n{tables}\n{end}{rest.partition(end)[2]}"


def tables_of(folder: Path) -> str:
    """The tables of a folder's report, how many seeds they are of, and of which images."""
    results = json.loads((folder / "report" / "results.json").read_text())
    about = textwrap.fill(f"{results['seeds']} seeds. {results['about']}", 120)
    return f"{about}\n\n{(folder / 'report' / 'table.md').read_text()}"


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
