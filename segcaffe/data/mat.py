"""MATLAB files (version 5) with one variable, ``data``: a blob with its axes reversed, W x H x C x N."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segcaffe.data.files import replacing
from segcaffe.data.lists import read_list
from segcaffe.errors import DataError

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
    if values is None or values.dtype.kind not in "fiub" or values.ndim > 4:
        raise DataError(f'{where}: "{path}" must hold a numeric variable "{VARIABLE}" of at most 4 axes (W, H, C, N).')
    blob: NDArray[Any] = values.reshape(values.shape + (1,) * (4 - values.ndim)).T
    return blob


def load_variable(path: Path, name: str, where: str, **options: bool) -> Any:
    """A variable of a file, None if it has none of that name; ``options`` are those of SciPy's loadmat.

    Raises
    ------
    DataError
        The file is missing or no MATLAB file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, appendmat=False, variable_names=[name], **options).get(name)
    except OSError as error:
        raise DataError(f'{where}: cannot read "{path}": {error.strerror or error}.') from error
    except (MatReadError, ValueError, TypeError, NotImplementedError, LookupError, zlib.error) as error:
        # What SciPy raises depends on where a damaged file stops making sense to it.
        raise DataError(f'{where}: "{path}" is not a MATLAB file of version 5: {error}.') from error
