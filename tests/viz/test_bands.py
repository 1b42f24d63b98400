"""Curves of several runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segcaffe.viz.bands import plot_bands


def test_each_curve_has_a_band(tmp_path: Path) -> None:
    places = np.arange(1, 6)
    runs = np.random.default_rng(0).normal(size=(3, 5))
    for name, curves in (("one", {"a $": runs}), ("two", {"a $": runs, "b": runs + 9}), ("single", {"a": runs[:1]})):
        plot_bands(tmp_path / f"{name}.png", places, curves, ("width", "gain"))
    drawn = {name: cv2.imread(str(tmp_path / f"{name}.png")) for name in ("one", "two", "single")}
    assert len({picture.tobytes() for picture in drawn.values()}) == 3
    # The band is a pale form of the curve's colour, and there is none around a single run.
    pale = {name: int((np.ptp(picture, axis=2) > 3).sum()) for name, picture in drawn.items()}
    assert pale["one"] > 4 * pale["single"]
