"""The figures of a detector, as a table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcaffe.data.files import write_bytes
from segcaffe.detection.scenes import Found, Objects
from segcaffe.metrics.detection import Precision, precision_of

_HEADS = {
    "voc_11_point": "VOC 11 point",
    "voc_area": "VOC area",
    "coco": "COCO AP",
    "coco_50": "AP50",
    "coco_75": "AP75",
}


@dataclass(frozen=True)
class DetectionReport:
    """All figures of an evaluation.

    Attributes
    ----------
    images:
        How many images were looked at.
    classes:
        The average precisions of each class, by its name.
    """

    images: int
    classes: Mapping[str, Precision]

    @classmethod
    def of(cls, names: Mapping[int, str], found: Sequence[Found], truth: Sequence[Objects]) -> DetectionReport:
        """The figures of the classes whose names are given, those that are in the images or were found there."""
        labelled = [one.labels for one in found] + [one.labels for one in truth]
        met = {int(label) for one in labelled for label in np.unique(one)}
        labels = sorted(met & names.keys())
        return cls(len(truth), {names[label]: precision_of(label, found, truth) for label in labels})

    def means(self) -> dict[str, float]:
        """The mean of each figure over the classes that have objects; NaN where there are none."""
        own = [figures for figures in self.classes.values() if figures.objects]
        return {key: float(np.mean([getattr(one, key) for one in own])) if own else math.nan for key in _HEADS}

    def text(self) -> str:
        """A table for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        width = max(5, *(len(name) for name in self.classes)) if self.classes else 5
        yield f"{'class':<{width}} {'objects':>8} {'found':>8} " + " ".join(f"{head:>12}" for head in _HEADS.values())
        for name, own in self.classes.items():
            figures = " ".join(_percent(getattr(own, key)) for key in _HEADS)
            yield f"{name:<{width}} {own.objects:>8} {own.found:>8} {figures}"
        total, found = (sum(getattr(own, key) for own in self.classes.values()) for key in ("objects", "found"))
        yield f"{'mean':<{width}} {total:>8} {found:>8} " + " ".join(_percent(mean) for mean in self.means().values())
        yield f"images {self.images}"

    def json(self) -> str:
        """All numbers as JSON; those that are undefined are null."""
        classes = [{"name": name, **_plain(own._asdict())} for name, own in self.classes.items()]
        return json.dumps({"images": self.images, "mean": _plain(self.means()), "classes": classes}, indent=1)

    def write_json(self, path: Path) -> None:
        """Write all numbers to a file."""
        write_bytes(path, self.json().encode(), "report")


def _percent(value: float) -> str:
    return f"{'-' if math.isnan(value) else f'{100 * value:.2f}':>12}"


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """NaN is no JSON."""
    return {key: None if math.isnan(value) else value for key, value in values.items()}
