"""Classify windows of images: windows of a list, of a regular grid, or those that selective search proposes.

The defaults are those of Caffe's detect.py: ImageNet's mean is subtracted, windows get 16 pixels of context; a CSV is
a list of windows, in images of a text file selective search proposes them. Mean, scale and order of channels that a
deploy file states (docs/weights.md) replace these; options overrule both.

OUTPUT is a CSV file, or an HDF5 file (.h5, .hdf5) of three data sets with a row for each window: filename (strings),
window (N, 4) of ymin, xmin, ymax, xmax, and prediction (N, classes).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import classify, common
from segcaffe.cli.numbers import MOST_SIDE, whole
from segcaffe.files.regular import opened, read_bytes
from segcaffe.text.words import counted

if TYPE_CHECKING:
    from segcaffe.pycaffe.detector import Detection

HDF5_SUFFIXES = (".h5", ".hdf5")
COORDINATES = ("ymin", "xmin", "ymax", "xmax")
_BYTES: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
"""How names of files are read and written, whatever their encoding."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("input_file", metavar="INPUT", help="CSV of windows, or text file of image paths")
    parser.add_argument(
        "output_file", metavar="OUTPUT", help=".csv or .h5 file to write: filename, window, one score a class"
    )
    classify.add_net_options(parser)
    common.add_option(parser, "crop_mode", "list (a CSV of filename,ymin,xmin,ymax,xmax), grid, selective_search "
                      "(default: list for a .csv, else selective_search)",
                      choices=("list", "grid", "selective_search"))  # fmt: skip
    common.add_option(parser, "context_pad", "pixels of context around a window, in the net's input (default 16)",
                      type=whole(0, MOST_SIDE), default=16)  # fmt: skip
    common.add_device_options(parser)


def run(options: argparse.Namespace) -> int:
    """Classify the windows and write the scores."""
    from segcaffe.data.files import check_output, replacing
    from segcaffe.pycaffe.detector import Detector, require_selective_search

    source, output = common.existing_file(options.input_file, "INPUT"), Path(options.output_file)
    mode = options.crop_mode or ("list" if source.suffix.lower() == ".csv" else "selective_search")
    write = _writer(output)
    check_output(output, "results")
    if mode == "selective_search":
        require_selective_search()
    windows = read_windows(source) if mode == "list" else []
    common.show_warnings()
    common.set_device(options)
    given = classify.preparation(options)
    values, keywords = common.variables(options, options.model_def), given.keywords()
    detector = Detector(
        options.model_def, context_pad=options.context_pad, **keywords, share_memory=True, variables=values
    )
    common.load_weights(detector, options.pretrained_model, "--pretrained_model", options.allow_partial)
    if mode == "list":
        detections = detector.detect_windows(windows)
    else:
        names = [line.strip() for line in read_bytes(source).decode(**_BYTES).splitlines() if line.strip()]
        detections = (detector.detect_grid if mode == "grid" else detector.detect_selective_search)(names)
    with replacing(output, "results") as part:
        write(detections, part)
    print(f"Scored {counted(len(detections), 'window')} into {options.output_file}")
    return 0


def read_windows(path: Path) -> list[tuple[str, list[list[float]]]]:
    """Windows of a CSV file with the columns filename, ymin, xmin, ymax, xmax, grouped by image."""
    from segcaffe.errors import DataError

    rows: list[tuple[str, list[float]]] = []
    with io.TextIOWrapper(opened(path), newline="", **_BYTES) as file:
        reader = csv.DictReader(file)
        try:
            columns = set(reader.fieldnames or ())
            if {"filename", *COORDINATES} <= columns:
                for row in reader:
                    rows.append((row["filename"], [float(row[name] or "nothing") for name in COORDINATES]))
        except ValueError as error:
            raise DataError(f"{path}:{reader.line_num}: a coordinate is no number ({error}).") from error
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: this is no line of a CSV file: {error}.") from error
    if not {"filename", *COORDINATES} <= columns:
        raise DataError(f"{path}: a list of windows has the columns filename,{','.join(COORDINATES)}.")
    return [(name, [window for _, window in group]) for name, group in groupby(rows, key=lambda row: row[0])]


def _writer(path: Path) -> Callable[[Sequence[Detection], Path], None]:
    """What writes the format that the path's suffix names; SegcaffeError for another."""
    from segcaffe.data.hdf5 import h5py_module
    from segcaffe.errors import SegcaffeError

    suffix = path.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        h5py_module("detect")
        return write_hdf5
    if suffix != ".csv":
        raise SegcaffeError(f"OUTPUT {path}: must end in .csv, {' or '.join(HDF5_SUFFIXES)}; that chooses the format.")
    return write_csv


def write_csv(detections: Sequence[Detection], path: Path) -> None:
    """Write a line for each window: filename, coordinates, and the scores as class0, class1, ..."""
    classes = len(detections[0]["prediction"]) if detections else 0
    with path.open("w", newline="", **_BYTES) as file:
        writer = csv.writer(file)
        writer.writerow(["filename", *COORDINATES, *(f"class{i}" for i in range(classes))])
        for found in detections:
            writer.writerow([found["filename"], *found["window"].tolist(), *found["prediction"].tolist()])


def write_hdf5(detections: Sequence[Detection], path: Path) -> None:
    """Write the data sets filename, window (N, 4) and prediction (N, classes); see the command's description."""
    import numpy as np

    from segcaffe.data.hdf5 import h5py_module
    from segcaffe.files.hdf5_writer import writing

    h5py = h5py_module("detect")
    with writing(h5py, path) as (file, _):
        names = [str(found["filename"]).encode(**_BYTES) for found in detections]
        file.create_dataset("filename", data=np.array(names, object), dtype=h5py.string_dtype())
        windows = np.array([found["window"] for found in detections], np.float64).reshape(-1, 4)
        file.create_dataset("window", data=windows).attrs["columns"] = list(COORDINATES)
        classes = len(detections[0]["prediction"]) if detections else 0
        predictions = np.array([found["prediction"] for found in detections], np.float32)
        file.create_dataset("prediction", data=predictions.reshape(len(detections), classes))
