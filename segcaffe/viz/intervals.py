"""Means with their intervals, one below the other, in groups: what lies beside zero, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from segcaffe.data.files import replacing
from segcaffe.viz.curves import figure_text, lacking_letters, load_pyplot

_SURE, _UNSURE = "#1f5fa8", "#9aa5b1"
_ROW, _FRAME = 0.28, 0.75
"""Inches of a row, and of what stands around the rows of a group."""


class Interval(NamedTuple):
    """A mean and half of its interval (NaN for none), with its name."""

    name: str
    mean: float
    half: float


def plot_intervals(path: Path, groups: Mapping[str, Sequence[Interval]], axis_name: str) -> None:
    """Draw a panel for each group, below its name; intervals that hold zero are pale."""
    pyplot = load_pyplot()
    heights = [_ROW * len(rows) + _FRAME for rows in groups.values()]
    figure, panels = pyplot.subplots(
        len(groups), 1, sharex=True, squeeze=False, figsize=(8, sum(heights)), dpi=110,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for axes, (title, rows) in zip(panels[:, 0], groups.items(), strict=True):
        for place, row in enumerate(rows):
            colour = _SURE if abs(row.mean) > row.half else _UNSURE
            axes.errorbar([row.mean], [place], xerr=[[row.half], [row.half]], fmt="o", color=colour, capsize=3)
        axes.set_yticks(range(len(rows)), [figure_text(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.grid(axis="x", alpha=0.25)
        axes.set_title(figure_text(title), loc="left", fontsize="medium")
    panels[-1, 0].set_xlabel(axis_name)
    with lacking_letters(), replacing(path, "figure") as part:
        figure.tight_layout()
        figure.savefig(part, format=path.suffix[1:] or "png")
    pyplot.close(figure)
