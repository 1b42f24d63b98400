"""Means with their intervals."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from segcaffe.viz.intervals import Interval, plot_intervals


def _picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture)


def _coloured(path: Path) -> int:
    """How many pixels are of a strong colour."""
    return int((np.ptp(_picture(path), axis=2) > 60).sum())


def test_intervals_that_hold_zero_are_pale(tmp_path: Path) -> None:
    for name, half in (("apart", 0.5), ("around", 2.0), ("single", math.nan)):
        plot_intervals(tmp_path / f"{name}.png", {"a $": [Interval("one", 1.0, half)]}, "gain")
    found = {name: _coloured(tmp_path / f"{name}.png") for name in ("apart", "around", "single")}
    assert found["apart"] > 20
    assert found["around"] == found["single"] == 0


def test_each_row_has_its_place(tmp_path: Path) -> None:
    groups = {"a": [Interval("one", 1.0, 0.5), Interval("two", -2.0, 0.1)], "b": [Interval("three", 3.0, 1.0)]}
    plot_intervals(tmp_path / "more.png", groups, "gain")
    plot_intervals(tmp_path / "fewer.png", {"a": groups["a"]}, "gain")
    heights = [len(_picture(tmp_path / f"{name}.png")) for name in ("more", "fewer")]
    assert heights[0] > heights[1]
    assert _coloured(tmp_path / "more.png") > _coloured(tmp_path / "fewer.png")
