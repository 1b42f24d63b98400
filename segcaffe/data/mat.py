"""MATLAB files (version 5) with one variable, ``data``: a blob with its axes reversed, W x H x C x N."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import replacing
from segcaffe.data.lists import read_list
from segcaffe.data.mat_elements import Variable, read_variable
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.files.limits import Budget
from segcaffe.files.regular import read_buffer

VARIABLE = "data"


def file_ids(path: str, strip: int, where: str) -> list[str]:
    """The first word of each line of a list, without its last ``strip`` characters.

    Raises
    ------
    DataError
        The list can't be read, ``strip`` is negative, or a name is not longer than it.
    """
    if strip < 0:
        raise DataError(f"{where}: strip is a number of characters, 0 or more. Received: {strip}.")
    ids = []
    for entry in read_list(path, where):
        word = entry.words[0]
        if len(word) <= strip:
            raise DataError(f'{where}: {entry.place}: strip {strip} leaves nothing of "{word}".')
        ids.append(word[: len(word) - strip])
    return ids


def write_mat(path: Path, values: NDArray[Any], where: str) -> None:
    """Write an array (N, C, H, W); folders are made, and the file appears only when it is complete.

    Raises
    ------
    DataError
        The folder or the file can't be written.
    """
    from scipy.io import savemat

    with replacing(path, where, one_of_many=True) as part:
        savemat(part, {VARIABLE: values.T}, appendmat=False)


def read_mat(path: Path, where: str) -> NDArray[Any]:
    """The array (N, C, H, W) of a file; missing axes are 1.

    Raises
    ------
    DataError
        The file is missing, no MATLAB file, or has no numeric variable ``data`` of at most 4 axes.
    """
    values = load_variable(path, VARIABLE, where)
    if not isinstance(values, np.ndarray) or values.ndim > 4:
        raise DataError(f'{where}: "{path}" must hold a numeric variable "{VARIABLE}" of at most 4 axes (W, H, C, N).')
    blob: NDArray[Any] = values.reshape(values.shape + (1,) * (4 - values.ndim)).T
    return blob


def load_variable(path: Path, name: str, where: str) -> Variable:
    """A variable of a file, see `read_variable`; None if it has none of that name.

    Raises
    ------
    DataError
        The file is missing, no MATLAB file, or would take more memory than its size allows.
    """
    try:
        content = read_buffer(path)
    except OSError as error:
        raise DataError(f'{where}: cannot read "{path}": {error.strerror or error}.') from error
    try:
        return read_variable(content, name, Budget(f'{where}: "{path}"', len(content)))
    except SegcaffeError:
        raise
    except ValueError as error:
        raise DataError(f'{where}: "{path}" is not a MATLAB file of version 5: {error}.') from error
