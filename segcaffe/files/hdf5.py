"""Opening HDF5 files and reading their data sets; nothing outside the file is looked at.

HDF5 lets a file name others: links to objects of another file, raw data kept elsewhere, and virtual data sets, which
are pieced together from other files. Whoever opens a file from someone else would read files that they did not name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import SegcaffeError
from segcaffe.files.limits import AS_STORED, PACKED, Budget
from segcaffe.files.regular import opened

Failure = Callable[[str], SegcaffeError]
"""Makes the error, given its last part."""

_FLOAT = 4
_SHOWN = 80
_ADVICE = "copy the values into this file"


class Budgets(NamedTuple):
    """What may be made of a file's data sets that are stored as they are, and of those that are compressed."""

    plain: Budget
    packed: Budget


def h5py_module(failure: Failure) -> ModuleType:
    """The package h5py; where it is missing, the error that ``failure`` makes of a sentence that says how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise failure("Install it: pip install h5py.") from error
    module: ModuleType = h5py
    return module


@contextmanager
def reading(path: str | Path, where: str, missing: Failure, damaged: Failure) -> Iterator[tuple[Any, Budgets]]:
    """Open a file (h5py.File) without links to others; with it come the budgets of what is made of it.

    What it holds is to be read by `read_values` and `read_text`.

    Parameters
    ----------
    where:
        How errors begin that say more would be made of the file than its size allows.
    missing:
        Makes the error if there is no h5py, of a sentence that says how to get it.
    damaged:
        Makes the error, of a reason in brackets or behind a colon, for whatever the library, or code inside the
        context, finds wrong in the file.
    """
    h5py = h5py_module(missing)
    try:
        with opened(path) as content:
            size = content.seek(0, 2)
            budgets = Budgets(Budget(where, size, AS_STORED), Budget(where, size, PACKED))
        with h5py.File(path, "r") as file:
            _check_links(h5py, file)
            yield file, budgets
    except SegcaffeError:
        raise
    # TypeError: names and strings that are not UTF-8 come as bytes.
    # IndexError, OverflowError: offsets and counts that cannot be.
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise damaged(" ".join(str(error).split())) from error


def read_values(dataset: Any, kinds: str, budgets: Budgets) -> NDArray[Any]:
    """Return a data set whose elements are of one of the kinds (letters of NumPy).

    Raises
    ------
    ValueError
        It is no such data set.
    LimitError
        It would take more than is left: one that was never written claims anything, a compressed one a thousandfold.
    """
    if not hasattr(dataset, "nbytes") or dataset.dtype.kind not in kinds or dataset.shape is None:
        raise ValueError(f"{dataset.name} is no array of numbers")
    budget = budgets.packed if _own_layout(dataset).get_nfilters() else budgets.plain
    # A chunk is unpacked as a whole, however few values of it there are.
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    budget.take(max(chunk, dataset.size * max(_FLOAT, dataset.dtype.itemsize)), dataset.name)
    values: NDArray[Any] = np.asarray(dataset[()])
    return values


def read_text(dataset: Any, most: int) -> str:
    """Return a string of so many bytes at most; ValueError for what is none."""
    if not hasattr(dataset, "nbytes") or dataset.shape != () or dataset.nbytes > most:
        raise ValueError(f"{dataset.name} is no text")
    _own_layout(dataset)
    value = dataset[()]
    return value.rstrip(b"\0").decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _check_links(h5py: ModuleType, file: Any) -> None:
    """ValueError for a link that leads out of the file; those within it (hard and soft) may be followed afterwards."""
    inside = (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT)
    # An error must not pass through the library: what is found there comes out as its result.
    found = file.id.links.visit(lambda name, info: None if info.type in inside else name, info=True)
    if found is not None:
        raise ValueError(f"/{_shown(found)} is a link to another file, which is not followed: {_ADVICE}")


def _own_layout(dataset: Any) -> Any:
    """How a data set was made (a property list); ValueError for one whose values lie in other files."""
    import h5py

    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{dataset.name} is a virtual data set, pieced together from other files: {_ADVICE}")
    if made.get_external_count():
        raise ValueError(f"{dataset.name} keeps its values in another file, which is not read: {_ADVICE}")
    return made


def _shown(name: bytes) -> str:
    """A name for a message."""
    text = name.decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
