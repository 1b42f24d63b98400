"""The boxes that annotations give, as a data layer hands them on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
ROW = 8
"""Numbers of a true box: item, label, instance, xmin, ymin, xmax, ymax, whether it is difficult."""


class TrueBoxes(NamedTuple):
    """The true boxes of one item.

    Attributes
    ----------
    labels:
        (G,) of int.
    boxes:
        (G, 4).
    difficult:
        (G,) of bool.
    """

    labels: Array
    boxes: Array
    difficult: Array

    @classmethod
    def of_item(cls, rows: Array, item: int) -> TrueBoxes:
        """Those of one item among rows (K, 8); rows of item -1 stand where an image has none."""
        own = rows[rows[:, 0] == item]
        return cls(own[:, 1].astype(int), own[:, 3:7], own[:, 7] != 0)

    def easy(self) -> TrueBoxes:
        """Without the difficult ones."""
        return TrueBoxes(*(values[~self.difficult] for values in self))
