"""Curves of several runs each: their mean, and a band of their standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.files import replacing
from segcaffe.viz.curves import figure_text, lacking_letters, load_pyplot

_COLOURS = ("#5f6b7a", "#1f5fa8", "#c05a1f", "#2f8f4e", "#8a4fa8")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1)))


def plot_bands(
    path: Path,
    places: np.ndarray[Any, Any],
    curves: Mapping[str, np.ndarray[Any, Any]],
    axes_names: tuple[str, str],
    first: int = 0,
) -> None:
    """Draw curves (runs, places) by name, each in a colour and a style of its own.

    ``axes_names`` are what stands below and at the left; ``first`` is the number of the first colour and style, so that
    curves look the same in several pictures.
    """
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(6.5, 4), dpi=110)
    for index, (name, runs) in enumerate(curves.items(), first):
        colour, style = _COLOURS[index % len(_COLOURS)], _STYLES[index % len(_STYLES)]
        mean, deviation = runs.mean(axis=0), runs.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(places))
        axes.plot(places, mean, color=colour, linestyle=style, label=figure_text(name))
        axes.fill_between(places, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with lacking_letters(), replacing(path, "figure") as part:
        figure.tight_layout()
        figure.savefig(part, format=path.suffix[1:] or "png")
    pyplot.close(figure)
