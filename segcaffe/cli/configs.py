"""Write the configurations that segcaffe comes with into a folder: nets and solvers that the documentation works with.

Files that are there already and say the same are left alone; where one says something else, nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segcaffe.cli import common
from segcaffe.text.words import counted

_PACKAGE = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("folder", nargs="?", metavar="DIR", default="configs", help="the folder (default configs)")
    common.add_option(parser, "overwrite", "replace files that say something else", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Write what is missing."""
    target = Path(options.folder)
    written, there = write_configs(target, options.overwrite)
    print(f"{target}: {counted(written, 'file')} written" + (f", {there} there already" if there else ""))
    return 0


def stored() -> Path:
    """The folder of configurations: in the package if it is installed, beside it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def write_configs(target: Path, overwrite: bool = False) -> tuple[int, int]:
    """Copy what is missing to ``target``; returns how many files were written, and how many were there already.

    Raises SegcaffeError, before anything is written, where files of these names say something else and ``overwrite``
    is false, and where the folder cannot be written.
    """
    from segcaffe.errors import SegcaffeError
    from segcaffe.snapshot.files import write_file

    source = stored()
    contents = {path.relative_to(source): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    try:
        same, others = _compare(target, contents)
        if others and not overwrite:
            named = ", ".join(map(str, others[:3])) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            raise SegcaffeError(
                f"{target}: {named} differ from what would be written. Choose another folder, or give --overwrite."
            )
        for name in contents.keys() - set(same):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(str(target / name), contents[name])
    except OSError as error:
        raise SegcaffeError(f"{target}: cannot be written: {error.strerror}. Choose another folder.") from error
    return len(contents) - len(same), len(same)


def _compare(target: Path, contents: dict[Path, bytes]) -> tuple[list[Path], list[Path]]:
    """Names of the files that say the same in ``target``, and of those that say something else."""
    there = {name: (target / name).read_bytes() for name in contents if (target / name).is_file()}
    same = [name for name, content in there.items() if content == contents[name]]
    return same, [name for name in there if name not in same]
