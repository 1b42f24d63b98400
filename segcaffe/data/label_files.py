"""Label maps in files of several kinds: PNG, .npy and .mat, from this program, from Caffe's MatWrite or MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import read_label
from segcaffe.data.mat import read_mat
from segcaffe.errors import DataError

Labels = NDArray[np.uint8]

SUFFIXES = (".png", ".npy", ".mat")


def read_labels(path: Path, where: str) -> Labels:
    """The label map (H, W) of a file.

    PNG: indices or gray values. ``.npy``: labels (H, W), or scores (classes, H, W), of which the best class counts.
    ``.mat``: the variable ``data``, W x H labels or W x H x classes scores, as MatWrite writes blobs.

    Raises
    ------
    DataError
        The file is missing, damaged, of another shape, or holds labels outside 0..255.
    """
    if path.suffix == ".npy":
        return _as_labels(_load(path, where), path, where)
    if path.suffix == ".mat":
        return _as_labels(read_mat(path, where)[0], path, where)
    return read_label(str(path), False, where)[:, :, 0]


def label_file(folder: Path, name: str) -> Path | None:
    """The file ``<name>.png``, ``.npy`` or ``.mat`` of a folder, or MatWrite's ``<name>_blob_0.mat``."""
    names = [f"{name}{suffix}" for suffix in SUFFIXES] + [f"{name}_blob_0.mat"]
    return next((folder / file for file in names if (folder / file).is_file()), None)


def _load(path: Path, where: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f'{where}: cannot read "{path}": {error.strerror or error}.') from error
    except (ValueError, EOFError) as error:
        raise DataError(f'{where}: "{path}" is not an array of numbers in .npy format, or is damaged.') from error
    return values[0] if values.ndim == 4 and len(values) == 1 else values


def _as_labels(values: NDArray[Any], path: Path, where: str) -> Labels:
    if values.ndim == 3:
        values = values[0] if len(values) == 1 else values.argmax(axis=0)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f'{where}: "{path}" must hold labels (H, W) or scores (classes, H, W). '
            f"Received: {values.dtype} of shape {values.shape}."
        )
    labels = values.astype(np.uint8)
    if not np.array_equal(labels, values):
        raise DataError(f'{where}: "{path}" holds labels that are not integers from 0 to 255.')
    return labels
