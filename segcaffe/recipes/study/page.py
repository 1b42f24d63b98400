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
from segcaffe.recipes.study.images import ImageSet
from segcaffe.recipes.study.runs import BANDS, PREDICTED
from segcaffe.recipes.study.tables import NEAR, PLAIN_OF, Results, ablated, differences, scores, verdict
from segcaffe.recipes.study.variants import CASCADE, CONTROL, CRF, LONGER, MASKS, MASKS_LONGER
from segcaffe.viz.bands import plot_bands
from segcaffe.viz.embedding import label_colours
from segcaffe.viz.intervals import Interval, plot_intervals
from segcaffe.viz.report import Report

SHOWN = (LONGER, MASKS_LONGER, CRF, CASCADE)
"""What curves and pictures are of; without the last stage, `SHORTER`."""
SHORTER = (CONTROL, MASKS, CASCADE)
TABLE, ABLATIONS = "table.md", "ablations.md"
_PICTURES = 3
_WIDTH = 155
"""Of pictures on the page, so that those of an image stand beside each other."""
_ABOUT = (
    "In stage 1 a plain net is trained, and embeddings of pixels. From that plain net those of stage 2 go on, on the "
    "same images: the plain net itself, and one whose convolutions look through masks, which weigh each pixel of a "
    "window by how alike its embedding is to that of the window's centre. In stage 3 both go on, and so does the net "
    "with masks and a CRF on embeddings behind it. Nets of one stage are trained for as many iterations, and differ in "
    "nothing but masks and CRF. The cascade averages the scores of alike pixels, and has nothing to train."
)
_NUMBERS = (
    "Per cent of mean IoU on held-out images, higher is better: mean over seeds (of images and weights) ± their "
    "standard deviation. Columns with px count the pixels of a trimap alone, those less than so many pixels from a "
    "boundary."
)
_GAINS = (
    "Differences in points, seed by seed: mean with its 95% interval, p of the paired t-test (two-sided), and in how "
    "many seeds there is a gain."
)
_CHANGED = (
    "One thing at a time is changed about the masks of stage 2, or the CRF of stage 3. Differences are to the net "
    "without that change, and in the last column to the plain net that is trained as long; p is that of the first."
)


def write_page(folder: Path, results: Results, images: ImageSet) -> Path:
    """Write ``folder``/index.html with its pictures, the tables as Markdown and results.json; return the page's path.

    ``images`` are the first seed's, which are shown.
    """
    page = Report(folder, "Plain and segmentation-aware nets compared")
    page.heading("In short")
    for sentence in verdict(results):
        page.text(sentence)
    page.heading("What is compared")
    page.text(_ABOUT)
    page.text(results.about)
    page.heading("Mean IoU")
    page.text(_NUMBERS)
    table = scores(results)
    page.table(table.header, table.rows)
    page.heading("Gains")
    page.text(_GAINS)
    table = differences(results)
    page.table(table.header, table.rows)
    _curves(page, results)
    _pictures(page, results, images)
    if any(variant.against for variant in results.variants):
        _ablations(page, results)
    for name, text in markdown(results).items():
        write_bytes(folder / name, text.encode(), "report")
    write_bytes(folder / "results.json", json.dumps(numbers(results), indent=1).encode(), "report")
    return page.write()


def markdown(results: Results) -> dict[str, str]:
    """The tables for a page of documentation, by their files: the comparison, and the ablations if there are any."""
    found = {TABLE: f"{scores(results).markdown()}\n{differences(results).markdown()}"}
    if any(variant.against for variant in results.variants):
        found[ABLATIONS] = ablated(results).markdown()
    return found


def numbers(results: Results) -> dict[str, Any]:
    """Everything that the tables are made of."""
    return {
        "seeds": results.seeds,
        "about": results.about,
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
    if not _can_draw():
        page.text("For curves over the trimap's width: pip install matplotlib.")
        return
    widths = np.arange(1, BANDS + 1)
    measured = {
        name: np.array([results.mean_iou(name, int(w)) for w in widths]).T
        for name in (*_shown(results), *PLAIN_OF.values())
        if name in results.figures
    }
    curves = {results.named(name).title: measured[name] for name in _shown(results)}
    axes = ("trimap width (pixels)", "mean IoU in the trimap (%)")
    plot_bands(page.folder / "trimap.png", widths, curves, axes)
    page.figure("trimap.png", "Mean IoU by distance to a boundary: mean and standard deviation over seeds")
    gains = {
        results.named(name).title: measured[name] - measured[PLAIN_OF[name]]
        for name in _shown(results)
        if name in PLAIN_OF
    }
    plot_bands(page.folder / "gain.png", widths, gains, (axes[0], "gain over the plain net (points)"), first=1)
    page.figure("gain.png", "The same, less that of the plain net of the same stage, seed by seed")


def _ablations(page: Report, results: Results) -> None:
    page.heading("Ablations")
    page.text(_CHANGED)
    if _can_draw():
        plot_intervals(page.folder / "ablations.png", _changes(results), f"change in mean IoU, {NEAR} px (points)")
        page.figure(
            "ablations.png", f"Within {NEAR} px of boundaries: mean and its 95% interval, pale where it holds 0"
        )
    table = ablated(results)
    page.table(table.header, table.rows)


def _changes(results: Results) -> dict[str, list[Interval]]:
    """What ablations have more than what they were made of, near boundaries, by the title of that."""
    found: dict[str, list[Interval]] = {}
    for variant in results.variants:
        if variant.against:
            gain = results.compare(variant.name, variant.against, NEAR)
            title = f"against {results.named(variant.against).title}"
            found.setdefault(title, []).append(Interval(variant.title, gain.mean, gain.interval))
    return found


def _can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _pictures(page: Report, results: Results, images: ImageSet) -> None:
    page.heading("Held-out images of the first seed")
    page.text("A colour for each class; pixels that do not count are white.")
    for number, (image, label) in enumerate(images.test_pairs()[:_PICTURES]):
        page.picture(f"{number}_image", read_image(str(image), True, "report"), "image", _WIDTH)
        truth = read_few_labels(label, "report")
        page.picture(f"{number}_labels", label_colours(truth), "labels", _WIDTH)
        for name in _shown(results):
            predicted = read_few_labels(images.root.parent / name / PREDICTED / f"{image.stem}.png", "report")
            page.picture(f"{number}_{name}", label_colours(predicted), results.named(name).title, _WIDTH)
        page.parts.append("<br>")


def _shown(results: Results) -> tuple[str, ...]:
    return SHOWN if CRF in results.figures else SHORTER
