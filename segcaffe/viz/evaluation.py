"""Plots of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segcaffe.data.files import replacing
from segcaffe.errors import DataError
from segcaffe.metrics.evaluate import Report
from segcaffe.viz.curves import figure_text, lacking_letters, load_pyplot


def plot_confusion(report: Report, path: Path) -> None:
    """Draw the confusion matrix: for each label the part of its pixels that went to each prediction."""
    pyplot = load_pyplot()
    counts = report.whole.counts[:, :-1]
    parts = counts / np.maximum(report.whole.labelled[:, None], 1)
    side = max(4.5, 0.32 * len(counts) + 2.5)
    figure, axes = pyplot.subplots(figsize=(side + 0.8, side), dpi=110)
    image = axes.imshow(100 * parts, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, fraction=0.046, label="% of the label's pixels")
    ticks = range(len(counts))
    names = [figure_text(name) for name in report.names]
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    if len(counts) <= 25:
        for row, column in zip(*np.nonzero(parts >= 0.005), strict=True):
            shade = "white" if parts[row, column] > 0.6 else "#333333"
            text = f"{100 * parts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    axes.set_title(f"mean IoU {100 * report.whole.mean_iou:.2f} %, {report.images} images")
    _save(figure, path)


def plot_trimap(report: Report, path: Path) -> None:
    """Draw mean IoU and pixel accuracy over the trimap's width."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=110)
    widths = list(report.trimap)
    for name, text, colour in (("mean_iou", "mean IoU", "#1f5fa8"), ("pixel_accuracy", "pixel accuracy", "#c05a1f")):
        values = [100 * report.trimap[width].summary()[name] for width in widths]
        axes.plot(
            widths,
            values,
            marker=".",
            color=colour,
            label=f"{text} in the trimap",
        )
        axes.axhline(100 * report.whole.summary()[name], color=colour, linestyle=":", label="over all pixels")
    axes.set_xlabel("trimap width (pixels)")
    axes.set_ylabel("%")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure, path: Path) -> None:  # type: ignore[no-untyped-def]
    try:
        with lacking_letters(), replacing(path, "figure") as part:
            figure.tight_layout()
            figure.savefig(part, format=path.suffix[1:] or "png")
    except ValueError as error:
        raise DataError(f'matplotlib cannot write the format of "{path}"; use .png, .pdf or .svg.') from error
    finally:
        load_pyplot().close(figure)
