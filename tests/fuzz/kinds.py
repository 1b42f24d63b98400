"""What a kind of input is: whole examples, how they are damaged, and what reads them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

Files = dict[str, bytes]
"""Content of files by their paths in the folder of a case."""
Mutation = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    examples:
        Makes whole inputs, of one file or several.
    read:
        Reads the input in a folder, which is the current one too. It may raise errors of ours.
    damages:
        Ways to damage a file.
    damaged:
        Patterns of the files that are damaged; those of the first pattern are as likely as all others together.
    """

    examples: Callable[[], Sequence[Files]]
    read: Callable[[Path], object]
    damages: Sequence[Mutation]
    damaged: tuple[str, ...] = ("*",)

    @functools.cached_property
    def whole(self) -> Sequence[Files]:
        """The whole inputs, made once."""
        return self.examples()

    def case(self, name: str, number: int) -> Files:
        """The damaged input with this number: always the same for the same examples."""
        rng = random.Random(f"{name}/{number}")
        files = dict(rng.choice(self.whole))
        damaged = self._choose(rng, files)
        data = files[damaged]
        if rng.random() < 0.1:
            other = rng.choice(self.whole).get(damaged, data)
            data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = rng.choice(self.damages)(rng, data)
        return files | {damaged: data}

    def _choose(self, rng: random.Random, files: Files) -> str:
        first = [name for name in files if fnmatch(name, self.damaged[0])]
        others = [name for name in files if any(fnmatch(name, pattern) for pattern in self.damaged[1:])]
        return rng.choice(first if not others or rng.random() < 0.5 else others)


def single(name: str, contents: Callable[[], Sequence[bytes]]) -> Callable[[], list[Files]]:
    """Examples of one file of that name each."""
    return lambda: [{name: content} for content in contents()]


def files_of(folder: Path, *patterns: str) -> Files:
    """The files of a folder whose paths in it match one of the patterns (all: ``*``)."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if any(fnmatch(name, p) for p in patterns)}


def write(folder: Path, files: Files) -> None:
    """Write an input into an empty folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
