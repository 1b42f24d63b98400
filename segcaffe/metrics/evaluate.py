"""Folders of predictions against folders or lists of labels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcaffe.data.contents import is_integer
from segcaffe.data.files import BadItems, write_bytes
from segcaffe.data.label_files import SUFFIXES, label_file, label_files, read_few_labels, without_padding
from segcaffe.data.lists import read_list
from segcaffe.data.palettes import Palette
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.files.there import is_dir
from segcaffe.metrics.segmentation import Agreement
from segcaffe.metrics.tally import LABELS, Labels, Tally
from segcaffe.parallel import group


@dataclass(frozen=True)
class Pair:
    """A label file and the names under which its prediction is looked for."""

    label: Path
    names: tuple[str, ...]
    place: str


def find_pairs(labels: str, root: str = "") -> list[Pair]:
    """The label files of a folder (by name), or of a list: the last word of each line, after ``root``.

    A prediction has the name of the list's image, or that of the label file.
    """
    folder = Path(labels)
    if is_dir(folder):
        files = label_files(folder)
        if not files:
            raise DataError(f'the folder "{labels}" holds no label maps ({", ".join(SUFFIXES)}).')
        return [Pair(path, (path.stem,), "labels") for path in files]
    pairs = []
    for entry in read_list(labels, "labels", "the list"):
        if is_integer(entry.words[-1]):
            raise DataError(f'{entry.place}: a line must end with the name of a label map. Received: "{entry.text}".')
        stems = [Path(word).stem for word in entry.words]
        pairs.append(Pair(Path(root + entry.words[-1]), tuple(dict.fromkeys(stems)), entry.place))
    return pairs


def evaluate(
    predictions: Path,
    pairs: Sequence[Pair],
    tally: Tally,
    bad: BadItems | None = None,
    progress: Callable[[], object] = lambda: None,
    palette: Palette | None = None,
) -> None:
    """Count all pairs, in threads; ``palette`` has the labels of label maps and predictions that hold colours.

    Processes that work together share the pairs out, and all have the counts.

    Raises
    ------
    DataError
        A prediction is missing, unreadable, or of another size (unless ``bad`` lets it be left out).
    """
    bad = bad or BadItems()
    if not is_dir(predictions):
        raise DataError(f'"{predictions}" is not a folder of predictions.')

    def count(pair: Pair) -> None:
        tally.add(*_read(predictions, pair, palette))

    ranks = group()
    for outcome in ordered(count, ranks.own(pairs)):
        if isinstance(outcome, DataError):
            bad.add(outcome)
        progress()
    bad.join(ranks)
    tally.join(ranks)
    if tally.images == 0:
        raise DataError(f"no pair can be used.\n{bad.text()}")


def _read(predictions: Path, pair: Pair, palette: Palette | None) -> tuple[Labels, Labels]:
    found = next((path for path in (label_file(predictions, name) for name in pair.names) if path), None)
    if found is None:
        names = " or ".join(f"{name}.png" for name in pair.names)
        raise DataError(f'{pair.place}: there is no prediction {names} (.npy, .mat) in "{predictions}".')
    label = read_few_labels(pair.label, pair.place, palette)
    prediction = without_padding(read_few_labels(found, pair.place, palette), found, *label.shape)
    if prediction.shape != label.shape:
        raise DataError(
            f'{pair.place}: prediction and label must have one size (height x width). Received: "{found}" '
            f'{_text(prediction)}, "{pair.label}" {_text(label)}.'
        )
    return label, prediction


def _text(label: Labels) -> str:
    return f"{label.shape[0]} x {label.shape[1]}"


@dataclass
class Report:
    """All figures of an evaluation.

    Attributes
    ----------
    whole:
        The agreement over all pixels.
    trimap:
        The agreement in the trimap of each width.
    names:
        Names of the classes.
    """

    images: int
    whole: Agreement
    trimap: dict[int, Agreement]
    names: list[str]

    @classmethod
    def of(cls, tally: Tally, classes: int | None = None, names: Sequence[str] = ()) -> Report:
        """The figures of a tally; without ``classes``, there are as many as names, or as labels met."""
        number = classes if classes is not None else len(names) or tally.classes()
        if number > LABELS:
            raise DataError(f"labels are 0 to {LABELS - 1}, so there are {LABELS} classes at most. Received: {number}.")
        if names and len(names) != number:
            raise DataError(f"each of {number} classes needs a name. Received: {len(names)}.")
        trimap = {width: tally.agreement(number, width) for width in range(1, tally.bands + 1)}
        return cls(tally.images, tally.agreement(number), trimap, list(names) or [str(i) for i in range(number)])

    def text(self) -> str:
        """Tables for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        width = max(5, *(len(name) for name in self.names))
        yield f"{'class':<{width}} {'IoU':>7} {'accuracy':>9} {'pixels':>12}"
        whole = self.whole
        for i, name in enumerate(self.names):
            figures = f"{_percent(whole.iou[i]):>7} {_percent(whole.accuracy[i]):>9} {whole.labelled[i]:>12}"
            yield f"{name:<{width}} {figures}"
        yield ""
        for name, value in whole.summary().items():
            yield f"{name.replace('_', ' ').replace('iou', 'IoU'):<22} {_percent(value):>7}"
        yield f"{'images':<22} {self.images:>7}"
        if self.trimap:
            shown = [w for w in (1, 2, 3, 5, 10, 15, 20, 30, 40) if w in self.trimap]
            yield ""
            yield "trimap width, pixels " + " ".join(f"{w:>6}" for w in shown)
            yield "mean IoU             " + " ".join(f"{_percent(self.trimap[w].mean_iou):>6}" for w in shown)
            yield "pixel accuracy       " + " ".join(f"{_percent(self.trimap[w].pixel_accuracy):>6}" for w in shown)

    def json(self) -> str:
        """All numbers as JSON; those that are undefined are null."""
        content = {
            "images": self.images,
            "classes": self.names,
            **_plain(self.whole.summary()),
            "iou": _plain(self.whole.iou.tolist()),
            "accuracy": _plain(self.whole.accuracy.tolist()),
            "confusion": self.whole.counts.tolist(),
            "trimap": {str(width): _plain(agreement.summary()) for width, agreement in self.trimap.items()},
        }
        return json.dumps(content, indent=1)

    def write_json(self, path: Path) -> None:
        """Write all numbers to a file."""
        write_bytes(path, self.json().encode(), "report")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _plain(values: Any) -> Any:
    """NaN is no JSON."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and math.isnan(values) else values
