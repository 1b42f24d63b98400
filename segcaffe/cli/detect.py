"""Classify windows of images: windows of a list, of a regular grid, or those that selective search proposes."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from segcaffe.cli import classify, common

if TYPE_CHECKING:
    from segcaffe.detector import Detection

COORDINATES = ("ymin", "xmin", "ymax", "xmax")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("input_file", metavar="INPUT", help="CSV of windows, or text file of image paths")
    parser.add_argument("output_file", metavar="OUTPUT", help="CSV file to write: filename, window, one score a class")
    classify.add_net_options(parser)
    common.add_option(parser, "crop_mode", "list (a CSV of filename,ymin,xmin,ymax,xmax), grid, selective_search",
                      choices=("list", "grid", "selective_search"), default="list")  # fmt: skip
    common.add_option(parser, "context_pad", "pixels of context around a window, in the net's input (default 16)",
                      type=int, default=16)  # fmt: skip
    common.add_device_options(parser)


def run(options: argparse.Namespace) -> int:
    """Classify the windows and write the scores."""
    from segcaffe.detector import Detector

    common.set_device(options)
    detector = Detector(
        common.existing_file(options.model_def, "--model_def"),
        common.existing_file(options.pretrained_model, "--pretrained_model"),
        context_pad=options.context_pad,
        **classify.preparation(options),
        share_memory=True,
    )
    source = common.existing_file(options.input_file, "input")
    if options.crop_mode == "list":
        detections = detector.detect_windows(read_windows(source))
    else:
        names = [line.strip() for line in source.read_text().splitlines() if line.strip()]
        detect = detector.detect_grid if options.crop_mode == "grid" else detector.detect_selective_search
        detections = detect(names)
    _write(detections, Path(options.output_file))
    print(f"Scored {len(detections)} windows into {options.output_file}")
    return 0


def read_windows(path: Path) -> list[tuple[str, list[list[float]]]]:
    """Windows of a CSV file with the columns filename, ymin, xmin, ymax, xmax, grouped by image."""
    from segcaffe.errors import DataError

    rows: list[tuple[str, list[float]]] = []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not {"filename", *COORDINATES} <= set(reader.fieldnames or ()):
            raise DataError(f"{path}: a list of windows has the columns filename,{','.join(COORDINATES)}.")
        for row in reader:
            try:
                rows.append((row["filename"], [float(row[name]) for name in COORDINATES]))
            except (TypeError, ValueError) as error:
                raise DataError(f"{path}:{reader.line_num}: a coordinate is no number ({error}).") from error
    return [(name, [window for _, window in group]) for name, group in groupby(rows, key=lambda row: row[0])]


def _write(detections: Sequence[Detection], path: Path) -> None:
    classes = len(detections[0]["prediction"]) if detections else 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", *COORDINATES, *(f"class{i}" for i in range(classes))])
        for found in detections:
            writer.writerow([found["filename"], *found["window"].tolist(), *found["prediction"].tolist()])
