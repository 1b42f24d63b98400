"""The report of a study: tables, curves and pictures as a page, as Markdown and as numbers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.files import write_bytes
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_few_labels
from segcaffe.files.regular import read_bytes
from segcaffe.recipes.study.runs import BANDS, PREDICTED
from segcaffe.recipes.study.tables import NEAR, Results, ablated, differences, scores, verdict
from segcaffe.recipes.study.variants import CASCADE, CONTROL, CRF, LONGER, MASKS, MASKS_LONGER
from segcaffe.viz.bands import plot_bands
from segcaffe.viz.embedding import label_colours
from segcaffe.viz.report import Report

SHOWN = (LONGER, MASKS_LONGER, CRF, CASCADE)
"""What curves and pictures are of; without the last stage, `SHORTER`."""
SHORTER = (CONTROL, MASKS, CASCADE)
_PICTURES = 3
_ABOUT = (
    "All nets go on from the same plain net, on the same images; what is compared is trained for the same number of "
    "iterations, and differs only in whether convolutions look through masks of embeddings, and whether a CRF on "
    "embeddings follows. The cascade has no parameters and is not trained. Numbers are means over seeds (of images and "
    "weights), ± their standard deviation. A trimap of w px holds the pixels less than w pixels from a boundary."
)
_GAINS = (
    "Differences seed by seed: mean with its 95% interval, p of the paired t-test (two-sided), and in how many seeds "
    "there is a gain."
)


def write_page(folder: Path, results: Results, images: Path) -> Path:
    """Write ``folder``/index.html with its pictures, table.md and results.json; return the page's path.

    ``images`` is the first seed's folder, whose pictures are shown.
    """
    page = Report(folder, "Plain and segmentation-aware nets compared")
    page.text(_ABOUT)
    page.heading("Mean IoU")
    table = scores(results)
    page.table(table.header, table.rows)
    page.heading("Gains")
    page.text(_GAINS)
    for sentence in verdict(results):
        page.text(sentence)
    table = differences(results)
    page.table(table.header, table.rows)
    _curves(page, results)
    _pictures(page, results, images)
    if any(variant.against for variant in results.variants):
        page.heading("Ablations")
        table = ablated(results)
        page.table(table.header, table.rows)
    write_bytes(folder / "table.md", markdown(results).encode(), "report")
    write_bytes(folder / "results.json", json.dumps(numbers(results), indent=1).encode(), "report")
    return page.write()


def markdown(results: Results) -> str:
    """The tables for a page of documentation."""
    tables = [scores(results), differences(results)]
    if any(variant.against for variant in results.variants):
        tables.append(ablated(results))
    return "\n".join(table.markdown() for table in tables)


def numbers(results: Results) -> dict[str, Any]:
    """Everything that the tables are made of."""
    return {
        "seeds": results.seeds,
        "mean_iou": {
            name: {str(width) if width else "all": results.mean_iou(name, width) for width in range(BANDS + 1)}
            for name in results.figures
        },
        "comparisons": [
            {"of": name, "with": other, "pixels": width or "all", **results.compare(name, other, width)._asdict()}
            for name, other in results.pairs()
            for width in (0, 2, NEAR)
        ],
    }


def _curves(page: Report, results: Results) -> None:
    page.heading("Where the gain is")
    if importlib.util.find_spec("matplotlib") is None:
        page.text("For curves over the trimap's width: pip install matplotlib.")
        return
    widths = np.arange(1, BANDS + 1)
    names = {
        results.named(name).title: np.array([results.mean_iou(name, int(w)) for w in widths]).T
        for name in _shown(results)
    }
    axes = ("trimap width (pixels)", "mean IoU in the trimap (%)")
    plot_bands(page.folder / "trimap.png", widths, names, axes)
    page.figure("trimap.png", "Mean IoU by distance to a boundary: mean and standard deviation over seeds")
    plain = results.named(_shown(results)[0]).title
    gains = {title: values - names[plain] for title, values in names.items() if title != plain}
    plot_bands(page.folder / "gain.png", widths, gains, (axes[0], f"gain over {plain} (points)"))
    page.figure("gain.png", "The same, less that of the plain net, seed by seed")


def _pictures(page: Report, results: Results, images: Path) -> None:
    page.heading("Held-out images of the first seed")
    lines = read_bytes(images / "data" / "test.txt").decode().splitlines()[:_PICTURES]
    for number, (image, label) in enumerate(map(str.split, lines)):
        root = images / "data"
        page.picture(f"{number}_image", read_image(str(root / image), True, "report"), "image")
        truth = read_few_labels(root / label, "report")
        page.picture(f"{number}_labels", label_colours(truth), "labels")
        for name in _shown(results):
            predicted = read_few_labels(images / name / PREDICTED / f"{Path(image).stem}.png", "report")
            page.picture(f"{number}_{name}", label_colours(predicted), results.named(name).title)
        page.parts.append("<br>")


def _shown(results: Results) -> tuple[str, ...]:
    return SHOWN if CRF in results.figures else SHORTER
