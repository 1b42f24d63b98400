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
_MORE_HEADS = {
    "coco_small": "AP small",
    "coco_medium": "AP medium",
    "coco_large": "AP large",
    "recall_1": "AR 1",
    "recall_10": "AR 10",
    "recall_100": "AR 100",
    "recall_small": "AR small",
    "recall_medium": "AR medium",
    "recall_large": "AR large",
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
        """The mean of each figure over the classes that have objects, of the size if it is of one; NaN without any."""
        own = [one.figures() for one in self.classes.values()]
        defined = {key: [one[key] for one in own if not math.isnan(one[key])] for key in {**_HEADS, **_MORE_HEADS}}
        return {key: float(np.mean(values)) if values else math.nan for key, values in defined.items()}

    def text(self) -> str:
        """A table for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        width = max(5, *(len(name) for name in self.classes)) if self.classes else 5
        yield f"{'class':<{width}} {'objects':>8} {'found':>8} " + " ".join(f"{head:>12}" for head in _HEADS.values())
        for name, own in self.classes.items():
            yield f"{name:<{width}} {own.objects:>8} {own.found:>8} {_percents(own.figures(), _HEADS)}"
        total, found = (sum(getattr(own, key) for own in self.classes.values()) for key in ("objects", "found"))
        yield f"{'mean':<{width}} {total:>8} {found:>8} {_percents(self.means(), _HEADS)}"
        yield ""
        yield f"{'class':<{width}} " + " ".join(f"{head:>9}" for head in _MORE_HEADS.values())
        for name, figures in {
            **{name: own.figures() for name, own in self.classes.items()},
            "mean": self.means(),
        }.items():
            yield f"{name:<{width}} {_percents(figures, _MORE_HEADS, 9)}"
        yield f"images {self.images}"

    def json(self) -> str:
        """All numbers as JSON; those that are undefined are null."""
        classes = [
            {"name": name, "objects": own.objects, "found": own.found, **_plain(own.figures())}
            for name, own in self.classes.items()
        ]
        return json.dumps({"images": self.images, "mean": _plain(self.means()), "classes": classes}, indent=1)

    def write_json(self, path: Path) -> None:
        """Write all numbers to a file."""
        write_bytes(path, self.json().encode(), "report")


def _percents(figures: Mapping[str, float], heads: Mapping[str, str], width: int = 12) -> str:
    return " ".join(f"{'-' if math.isnan(figures[key]) else f'{100 * figures[key]:.2f}':>{width}}" for key in heads)


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """NaN is no JSON."""
    return {key: None if math.isnan(value) else value for key, value in values.items()}
