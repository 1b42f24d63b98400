"""Looking over a list before training: what is missing, unreadable, of the wrong size, or labelled outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.contents import is_integer
from segcaffe.data.images import read_image, read_label
from segcaffe.data.lists import Entry
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError


@dataclass(frozen=True)
class _Facts:
    """What one line says: size of its image, how often each label occurs, and what is wrong."""

    size: tuple[int, ...]
    labels: dict[int, int]
    problems: list[str]


@dataclass
class Report:
    """What was found in a list.

    Attributes
    ----------
    lines:
        Number of lines.
    problems:
        A sentence for each thing wrong.
    sizes:
        How often each height and width occurs.
    pixels:
        How often each label occurs: pixels of label maps, or images where lines hold integers.
    images:
        In how many images each label occurs.
    """

    lines: int = 0
    problems: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)

    def text(self) -> str:
        """A table for people."""
        rows = [f"{self.lines} lines, {len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"]
        rows += [f"  {problem}" for problem in self.problems]
        most = self.sizes.most_common(5)
        rows.append("sizes: " + ", ".join(f"{h} x {w} ({n})" for (h, w), n in most))
        if len(self.sizes) > len(most):
            rows[-1] += f" and {len(self.sizes) - len(most)} more"
        if self.pixels:
            rows.append(f"{'label':>7} {'count':>12} {'share':>7} {'images':>7}")
            total = sum(self.pixels.values())
            for label, count in sorted(self.pixels.items()):
                rows.append(f"{label:>7} {count:>12} {count / total:>7.2%} {self.images[label]:>7}")
        return "\n".join(rows)


def check_list(
    entries: Sequence[Entry],
    root: str = "",
    classes: int | None = None,
    ignore: Sequence[int] = (255,),
    size: tuple[int, int] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Report:
    """Read every image and label of a list.

    Parameters
    ----------
    root:
        What stands before the names.
    classes:
        Labels must be below this (or ignored); not checked if None.
    ignore:
        Labels that may occur besides.
    size:
        Height and width that all images must have; not checked if None.
    """
    report = Report(len(entries))
    facts = ordered(lambda entry: _facts(entry, root), entries)
    for entry, found in zip(entries, facts, strict=True):
        progress()
        if isinstance(found, DataError):
            report.problems.append(str(found))
            continue
        report.problems += found.problems
        report.sizes[found.size] += 1
        if size and found.size != size:
            report.problems.append(
                f"{entry.place}: the image is {_text(found.size)} where {_text(size)} is asked for (height x width)."
            )
        report.pixels.update(found.labels)
        report.images.update(found.labels.keys())
        if outside := _outside(found.labels, classes, ignore):
            labels = ", ".join(map(str, outside))
            report.problems.append(f"{entry.place}: labels outside 0..{(classes or 0) - 1}: {labels}.")
    return report


def _facts(entry: Entry, root: str) -> _Facts:
    words = entry.words
    if len(words) > 1 and is_integer(words[-1]):
        name = entry.text.replace("\t", " ").rpartition(" ")[0].strip()
        image = read_image(root + name, True, entry.place)
        return _Facts(image.shape[:2], {int(words[-1]): 1}, [])
    image = read_image(root + words[0], True, entry.place)
    if len(words) < 2:
        return _Facts(image.shape[:2], {}, [])
    label = read_label(root + words[1], False, entry.place)
    problems = []
    if label.shape[:2] != image.shape[:2]:
        problems.append(
            f'{entry.place}: "{words[0]}" is {_text(image.shape[:2])}, its label map "{words[1]}" '
            f"{_text(label.shape[:2])}; they must be equal."
        )
    return _Facts(image.shape[:2], _histogram(label), problems)


def _histogram(label: NDArray[Any]) -> dict[int, int]:
    counts = np.bincount(label.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _outside(labels: dict[int, int], classes: int | None, ignore: Sequence[int]) -> list[int]:
    if classes is None:
        return []
    return [label for label in sorted(labels) if not 0 <= label < classes and label not in ignore]


def _text(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
