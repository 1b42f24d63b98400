"""What is read off the scores of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def best_classes(scores: Array) -> Array:
    """The best class on the last axis, of equal ones the first."""
    classes: Array = scores.argmax(axis=-1)
    return classes


def read(classes: Array, blank: int, merges: bool = True) -> Array:
    """The labels that classes of successive steps read as: equal neighbours are one (``merges``), blanks left out."""
    stays = classes != blank
    if merges:
        stays[1:] &= classes[1:] != classes[:-1]
    labels: Array = classes[stays]
    return labels


def edit_distance(a: Array, b: Array) -> int:
    """How many labels must be put in, left out or changed to make one sequence the other. [Levenshtein 1966]."""
    before = list(range(b.size + 1))
    for i, label in enumerate(a.tolist(), 1):
        row = [i]
        for j, other in enumerate(b.tolist(), 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (label != other)))
        before = row
    return before[-1]
