"""Tells which release of each dependency pip would install on each Python: python tools/dependencies.py [NAME ...].

For every package that pyproject.toml names, and every Python in its classifiers, pip is asked for the newest release
that has wheels for it (of this platform, or those given), with our bounds and without; nothing is installed or
downloaded but metadata. Which index that is, and through which proxy, is pip's own configuration.

    python tools/dependencies.py --platform win_amd64 --python 3.14 numba scipy
    python tools/dependencies.py --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64

It takes some minutes, and Python 3.11. In the table ``2.1 (3.0)`` means that the bounds allow 2.1 and the newest
release is 3.0, ``-`` that there is none. The status is 1 where a Python gets no release of a package that every
installation needs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import tomllib

ROOT = Path(__file__).resolve().parent.parent
NONE = "-"
Ask = Callable[[str, str], str]
"""The release that pip finds for a requirement and a Python, or `NONE`."""


class Dependency(NamedTuple):
    """A package as pyproject.toml names it: its bounds, and whether every installation needs it."""

    name: str
    bounds: str
    needed: bool


def dependencies(project: Mapping[str, Any]) -> dict[str, Dependency]:
    """All dependencies of a pyproject.toml by name: those of installing and running first, then those of extras."""
    run, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    found: dict[str, Dependency] = {}
    for text in [*run, *project["build-system"]["requires"], *(text for part in extras.values() for text in part)]:
        requirement = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?([^;]*)(?:;.*)?", text.replace(" ", ""))
        if requirement is None:
            raise ValueError(f"pyproject.toml: a requirement is a name with bounds. Received: {text}.")
        name, bounds = requirement.groups()
        if name != project["project"]["name"]:
            found.setdefault(name, Dependency(name, bounds, text in run or text in project["build-system"]["requires"]))
    return found


def pythons(project: Mapping[str, Any]) -> list[str]:
    """The Pythons that the classifiers name, as 3.12."""
    last = (line.rpartition(" :: ")[2] for line in project["project"]["classifiers"])
    return [version for version in last if re.fullmatch(r"3\.\d+", version)]


def pip(platforms: Sequence[str]) -> Ask:
    """A function that asks pip, for wheels of any of these platforms (none: of this machine's)."""

    def ask(requirement: str, python: str) -> str:
        words = ["install", "--dry-run", "--quiet", "--report", "-", "--ignore-installed", "--no-deps", "--target", "."]
        words += ["--only-binary", ":all:", "--python-version", python]
        words += [f"--platform={platform}" for platform in platforms]
        done = subprocess.run([sys.executable, "-m", "pip", *words, requirement], capture_output=True, text=True)
        if done.returncode == 0:
            return str(json.loads(done.stdout)["install"][0]["metadata"]["version"])
        if "No matching distribution" in done.stderr:
            return NONE
        raise SystemExit(f"pip could not be asked for {requirement}:\n{done.stderr}")

    return ask


def cell(dependency: Dependency, python: str, ask: Ask) -> str:
    """What a Python gets, and the newest release where the bounds forbid it."""
    allowed = ask(dependency.name + dependency.bounds, python)
    newest = ask(dependency.name, python) if re.search("<|==", dependency.bounds) else allowed
    return allowed if newest == allowed else f"{allowed} ({newest})"


def table(chosen: Sequence[Dependency], versions: Sequence[str], ask: Ask) -> list[list[str]]:
    """A row for each dependency: name, bounds, and a cell for each Python; the first row is the heading."""
    with ThreadPoolExecutor(4) as pool:
        cells = [[pool.submit(cell, dependency, version, ask) for version in versions] for dependency in chosen]
        body = [[one.name, one.bounds, *(c.result() for c in row)] for one, row in zip(chosen, cells, strict=True)]
    return [["package", "bounds", *versions], *body]


def lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def missing(chosen: Sequence[Dependency], rows: Sequence[Sequence[str]]) -> list[str]:
    """Sentences on Pythons without a release of a package that every installation needs."""
    heading, *body = rows
    return [
        f"{one.name}{one.bounds}: no release for Python {version}."
        for one, row in zip(chosen, body, strict=True)
        for version, text in zip(heading[2:], row[2:], strict=True)
        if one.needed and text.startswith(NONE)
    ]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="packages (default: all)")
    parser.add_argument("--python", action="append", metavar="3.N", help="Pythons (default: those of the classifiers)")
    parser.add_argument("--platform", action="append", default=[], help="a wheel's platform; repeatable")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = dependencies(project)
    strange = [name for name in options.names if name not in known]
    if strange:
        parser.error(f"pyproject.toml names no {', '.join(strange)}.")
    chosen = [known[name] for name in options.names or known]
    rows = table(chosen, options.python or pythons(project), pip(options.platform))
    print("\n".join(lines(rows)))
    sentences = missing(chosen, rows)
    print("\n".join(sentences) or "Every Python gets what every installation needs.")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
