"""Looking over a list or database before training: what is missing, unreadable, of a wrong size or label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.contents import Item, Items, is_integer
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_labels
from segcaffe.data.lists import Entry
from segcaffe.data.palettes import Palette
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError

_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True)
class _Facts:
    """What one line or item says: where it is, size of its image, how often each label occurs, what is wrong."""

    place: str
    size: tuple[int, ...]
    labels: dict[int, int]
    problems: list[str]


@dataclass
class Report:
    """What was found in a list or database.

    Attributes
    ----------
    lines:
        Number of lines, or of items.
    problems:
        A sentence for each thing wrong.
    sizes:
        How often each height and width occurs.
    pixels:
        How often each label occurs: pixels of label maps, or images where lines hold integers.
    images:
        In how many images each label occurs.
    unit:
        "line" or "item".
    """

    lines: int = 0
    problems: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    unit: str = "line"

    def text(self) -> str:
        """A table for people."""
        rows = [f"{_counted(self.lines, self.unit)}, {_counted(len(self.problems), 'problem')}"]
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


@dataclass(frozen=True)
class Rules:
    """What is asked of images and labels.

    Attributes
    ----------
    classes:
        Labels must be below this (or ignored); not checked if None.
    ignore:
        Labels that may occur besides.
    size:
        Height and width that all images must have; not checked if None.
    """

    classes: int | None = None
    ignore: Sequence[int] = (255,)
    size: tuple[int, int] | None = None

    def problems(self, facts: _Facts) -> list[str]:
        """What breaks them."""
        found = []
        if self.size and facts.size != self.size:
            found.append(
                f"{facts.place}: the image is {_text(facts.size)} where {_text(self.size)} is asked for "
                "(height x width)."
            )
        if outside := self._outside(facts.labels):
            labels = ", ".join(map(str, outside))
            found.append(f"{facts.place}: labels outside 0..{(self.classes or 0) - 1}: {labels}.")
        return found

    def _outside(self, labels: dict[int, int]) -> list[int]:
        if self.classes is None:
            return []
        return [label for label in sorted(labels) if not 0 <= label < self.classes and label not in self.ignore]


def check_list(
    entries: Sequence[Entry],
    root: str = "",
    rules: Rules | None = None,
    palette: Palette | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Report:
    """Read every image and label of a list.

    Parameters
    ----------
    root:
        What stands before the names.
    palette:
        Labels by colour, for label maps in colour.
    progress:
        Called after each line.
    """
    facts = ordered(lambda entry: _facts(entry, root, palette), entries)
    return _report(Report(len(entries)), facts, rules or Rules(), progress)


def check_database(items: Items, rules: Rules | None = None, progress: Callable[[], object] = lambda: None) -> Report:
    """Read every item of a database."""
    facts = (item if isinstance(item, DataError) else _item_facts(item) for item in items.arrays())
    return _report(Report(len(items), unit="item"), facts, rules or Rules(), progress)


def _report(
    report: Report, facts: Iterable[_Facts | DataError], rules: Rules, progress: Callable[[], object]
) -> Report:
    for found in facts:
        progress()
        if isinstance(found, DataError):
            report.problems.append(str(found))
            continue
        report.problems += found.problems + rules.problems(found)
        report.sizes[found.size] += 1
        report.pixels.update(found.labels)
        report.images.update(found.labels.keys())
    return report


def _item_facts(item: Item) -> _Facts:
    labels = {item.label: 1} if isinstance(item.label, int) else {}
    return _Facts(item.place, item.image.shape[:2], labels, [])


def _facts(entry: Entry, root: str, palette: Palette | None) -> _Facts:
    words = entry.words
    if len(words) > 1 and is_integer(words[-1]):
        name = entry.text.replace("\t", " ").rpartition(" ")[0].strip()
        image = read_image(root + name, True, entry.place)
        return _Facts(entry.place, image.shape[:2], {int(words[-1]): 1}, [])
    image = read_image(root + words[0], True, entry.place)
    if len(words) < 2:
        return _Facts(entry.place, image.shape[:2], {}, [])
    label = read_labels(Path(root + words[1]), entry.place, palette)
    problems = []
    if words[1].lower().endswith(_LOSSY):
        problems.append(
            f'{entry.place}: the label map "{words[1]}" is a JPEG, which does not keep numbers as they were.'
        )
    if label.shape != image.shape[:2]:
        problems.append(
            f'{entry.place}: "{words[0]}" is {_text(image.shape)}, its label map "{words[1]}" {_text(label.shape)}; '
            "they must be equal."
        )
    return _Facts(entry.place, image.shape[:2], _histogram(label), problems)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _histogram(label: NDArray[Any]) -> dict[int, int]:
    counts = np.bincount(label.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _text(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
