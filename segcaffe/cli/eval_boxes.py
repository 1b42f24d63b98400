"""`segcaffe eval --detection`: boxes compared with the true ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import common
from segcaffe.errors import SegcaffeError
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_dir

if TYPE_CHECKING:
    from segcaffe.data.annotated.results import Truth
    from segcaffe.data.files import BadItems


def evaluate_boxes(options: argparse.Namespace) -> None:
    """Print the table of average precisions, write what is asked for."""
    from segcaffe.data.annotated.results import read_results
    from segcaffe.data.files import BadItems
    from segcaffe.metrics.detection_report import DetectionReport
    from segcaffe.predict.box_results import DETECTIONS

    predictions, bad = Path(options.predictions), BadItems(options.skip_bad)
    results = predictions / DETECTIONS if is_dir(predictions) else predictions
    truth = _truth(options, predictions, bad)
    common.report_bad(bad)
    report = DetectionReport.of(truth.names, read_results(results, truth), truth.objects)
    print(report.json() if options.json == "-" else report.text())
    if options.json and options.json != "-":
        report.write_json(Path(options.json))


def _truth(options: argparse.Namespace, predictions: Path, bad: BadItems) -> Truth:
    """The true boxes: COCO's annotations, or those of a list."""
    from segcaffe.data.annotated.label_map import categories
    from segcaffe.data.annotated.results import read_annotations, read_boxes_of_list

    if options.labels.lower().endswith(".json"):
        return read_annotations(common.existing_file(options.labels, "LABELS"))
    ids: Mapping[int, int] = {}
    if options.label_map_file:
        known = categories(options.label_map_file, "--label_map_file")
        labels = {category.name: label for label, category in known.items()}
        ids = {label: category.id for label, category in known.items()}
    else:
        labels = recorded_labels(predictions if is_dir(predictions) else predictions.parent)
    return read_boxes_of_list(options.labels, options.root, labels, ids, bad)


def recorded_labels(folder: Path) -> dict[str, int]:
    """The category of each name, as `predict` notes them beside its results."""
    from segcaffe.predict.result_folder import SETTINGS

    try:
        record = json.loads(read_bytes(folder / SETTINGS))
        found = {str(name): int(number) for number, name in record["categories"].items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        found = {}
    if not found:
        raise SegcaffeError("which category has which name? Give --label_map_file, SSD's labelmap.prototxt.")
    return found
