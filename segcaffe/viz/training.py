"""Plots of training runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcaffe.data.files import replacing, write_bytes
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.viz.curves import figure_text, lacking_letters, load_pyplot
from segcaffe.viz.logs import LOSS, RATE, Series

_COLOURS = ("#1f5fa8", "#c05a1f", "#2f8f4e", "#8a4fa8", "#a83232", "#5f6b7a", "#b8942a", "#1f9aa8")
_MANY = 200
_SMOOTH = 20


def panels_of(runs: Mapping[str, Series]) -> dict[str, list[str]]:
    """Which names of series share a panel: losses together, the rate, and each other output of a test."""
    names = list(dict.fromkeys(name for series in runs.values() for name in series))
    panels: dict[str, list[str]] = {"loss": [], "learning rate": []}
    for name in names:
        kind, _, output = name.partition(" ")
        if name == LOSS or (kind.startswith("test") and "loss" in output):
            panels["loss"].append(name)
        elif name == RATE:
            panels["learning rate"].append(name)
        elif kind.startswith("test") or f"test {output}" not in names:
            panels.setdefault(output or name, []).append(name)
    # The outputs of the train net that are its losses repeat the loss.
    return {title: members for title, members in panels.items() if members and not _repeats(title, members)}


def plot_runs(runs: Mapping[str, Series], path: Path) -> None:
    """Draw the runs (series by run), one panel for each figure, one colour for each run."""
    pyplot = load_pyplot()
    panels = panels_of(runs)
    figure, grid = pyplot.subplots(len(panels), 1, figsize=(8, 2.8 * len(panels) + 0.4), dpi=110, squeeze=False)
    for axes, (title, names) in zip(grid[:, 0], panels.items(), strict=True):
        for index, (run, series) in enumerate(runs.items()):
            for name in names:
                if name in series:
                    _draw(axes, series[name], _COLOURS[index % len(_COLOURS)], name, run if len(runs) > 1 else "")
        axes.set_title(figure_text(title), loc="left", fontsize=10)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    grid[-1, 0].set_xlabel("iteration")
    try:
        with lacking_letters(), replacing(path, "figure") as part:
            figure.tight_layout()
            figure.savefig(part, format=path.suffix[1:] or "png")
    except SegcaffeError:
        raise
    except ValueError as error:
        raise DataError(f'matplotlib cannot write the format of "{path}"; use .png, .pdf or .svg.') from error
    finally:
        pyplot.close(figure)


def write_csv(runs: Mapping[str, Series], path: Path) -> None:
    """Write rows run, name, iteration, value."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("run", "name", "iteration", "value"))
    for run, series in runs.items():
        for name, points in series.items():
            table.writerows((run, name, iteration, f"{value:g}") for iteration, value in points)
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"), "table")


def _draw(axes: Any, points: list[tuple[int, float]], colour: str, name: str, run: str) -> None:
    iterations, values = [point[0] for point in points], [point[1] for point in points]
    label = figure_text(f"{run}: {name}" if run else name)
    if name == LOSS and len(values) >= _MANY:
        axes.plot(iterations, values, color=colour, alpha=0.3, linewidth=0.7)
        values = [
            sum(part) / len(part) for part in (values[max(0, i - _SMOOTH + 1) : i + 1] for i in range(len(values)))
        ]
        label += f" (mean of {_SMOOTH})"
    tested = name.startswith("test")
    axes.plot(
        iterations, values, color=colour, label=label, linestyle="--" if tested else "-", marker="." if tested else ""
    )


def _repeats(title: str, members: list[str]) -> bool:
    return title not in ("loss", "learning rate") and "loss" in title and all(m.startswith("train") for m in members)
