"""Label maps in files of several kinds: PNG, .npy and .mat, from this program, from Caffe's MatWrite or MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import read_bytes
from segcaffe.data.label_images import Labels, decode_label, whole_labels
from segcaffe.data.mat import read_mat
from segcaffe.data.palettes import Palette
from segcaffe.errors import DataError
from segcaffe.files import regular
from segcaffe.files.npy import array_of_bytes
from segcaffe.files.there import is_file

_BLOBS = (".npy", ".mat")

SUFFIXES = (".png", ".npy", ".mat", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".webp")


def read_labels(path: Path, where: str, palette: Palette | None = None) -> Labels:
    """The label map (H, W) of a file; everything that reads labels calls this.

    Images of any kind: the stored gray values or indices, or what ``palette`` makes of colours (`decode_label`).
    ``.npy``: labels (H, W), or scores (classes, H, W), of which the best class counts. ``.mat``: the variable ``data``,
    W x H labels or W x H x classes scores, as MatWrite writes blobs.

    Raises
    ------
    DataError
        The file is missing, damaged, of another shape, in colour without a palette, or holds labels outside 0..65535.
    """
    failure = f'{where}: cannot read "{path}"'
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _as_labels(_load(path, where), failure)
    if suffix == ".mat":
        blob = read_mat(path, where)
        return _as_labels(blob[0] if len(blob) else blob, failure)
    return decode_label(read_bytes(str(path), where), failure, palette)


def read_few_labels(path: Path, where: str, palette: Palette | None = None) -> NDArray[np.uint8]:
    """As `read_labels`, where labels above 255 have no place: DataError."""
    labels = read_labels(path, where, palette)
    if labels.dtype != np.uint8:
        raise DataError(f'{where}: "{path}" holds labels up to {labels.max()}; here they must be 0 to 255.')
    return labels


def without_padding(labels: NDArray[np.uint8], path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """The labels of a net's blob, .npy or .mat, cut to an image's size: nets pad below and at the right."""
    larger = labels.shape[0] >= height and labels.shape[1] >= width
    return labels[:height, :width] if is_blob(path) and larger else labels


def is_blob(path: Path) -> bool:
    """Whether a file of labels holds an array, not an image."""
    return path.suffix.lower() in _BLOBS


def label_file(folder: Path, name: str) -> Path | None:
    """The file ``<name>`` with one of `SUFFIXES` of a folder, or MatWrite's ``<name>_blob_0.mat``."""
    names = [f"{name}{suffix}" for suffix in SUFFIXES] + [f"{name}_blob_0.mat"]
    return next((folder / file for file in names if is_file(folder / file)), None)


def label_files(folder: Path) -> list[Path]:
    """The label maps of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _load(path: Path, where: str) -> NDArray[Any]:
    try:
        values = array_of_bytes(regular.read_bytes(path))
    except OSError as error:
        raise DataError(f'{where}: cannot read "{path}": {error.strerror or error}.') from error
    except ValueError as error:
        raise DataError(
            f'{where}: "{path}" is not an array of numbers in .npy format, or is damaged: {error}.'
        ) from error
    return values[0] if values.ndim == 4 and len(values) == 1 else values


def _as_labels(values: NDArray[Any], failure: str) -> Labels:
    if values.ndim == 3 and values.size:
        values = values[0] if len(values) == 1 else values.argmax(axis=0)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{failure}: it must hold labels (H, W) or scores (classes, H, W). "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    return whole_labels(values, failure)
