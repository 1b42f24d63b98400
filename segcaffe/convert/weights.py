"""What one does with weights: list them, compare, rename layers, merge files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.blob.proto import shape_of, stored_dtype
from segcaffe.convert.formats import arrays_of
from segcaffe.errors import WeightsError, did_you_mean
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.text.visible import one_line
from segcaffe.text.words import counted

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Entry:
    """One blob of a file: its layer, index, shape and type, and figures of its values.

    ``mean``, ``std``, ``low`` and ``high`` are those of the finite values (NaN where there are none); ``nan`` and
    ``infinite`` count the others.
    """

    layer: str
    type: str
    index: int
    shape: tuple[int, ...]
    dtype: str
    mean: float
    std: float
    low: float
    high: float
    nan: int
    infinite: int

    @property
    def count(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Difference:
    """How one blob differs between two files.

    ``kind`` is "only in first", "only in second", "shape" or "values"; for values, ``largest`` is the largest absolute
    difference and ``relative`` that divided by the largest absolute value of the first.
    """

    blob: str
    kind: str
    detail: str
    largest: float = 0.0
    relative: float = 0.0


def entries(net: NetParameter, where: str = "weights") -> list[Entry]:
    """Return the blobs of a file in order, with the figures of their values."""
    arrays = arrays_of(net, where)
    found = []
    for layer in net.layer:
        for index, blob in enumerate(layer.blobs):
            values = arrays.get(f"{layer.name}/{index}")
            figures = _figures(values)
            found.append(Entry(layer.name, layer.type, index, shape_of(blob), stored_dtype(blob), *figures))
    return found


def table(net: NetParameter, where: str = "weights") -> str:
    """Return the blobs of a file as a table with totals."""
    found = entries(net, where)
    rows = [["layer", "type", "blob", "shape", "dtype", "values", "mean", "std", "min", "max", "NaN"]]
    rows += [[*map(one_line, _row(entry))] for entry in found]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = sum(entry.count for entry in found)
    layers = len({entry.layer for entry in found})
    told = f"{counted(layers, 'layer')}, {counted(len(found), 'blob')}, {counted(total, 'value')}"
    return "\n".join([*lines, f"{told} ({total * 4 / 2**20:.1f} MiB)"])


def differences(first: NetParameter, second: NetParameter, tolerance: float = 0.0) -> list[Difference]:
    """Return where two files differ: blobs by name, shapes, values by more than ``tolerance`` (absolute)."""
    mine, theirs = arrays_of(first, "first"), arrays_of(second, "second")
    found = []
    for name, array in mine.items():
        if name not in theirs:
            found.append(Difference(name, "only in first", f"shape {array.shape}"))
        else:
            found += _compare(name, array, theirs[name], tolerance)
    found += [Difference(n, "only in second", f"shape {a.shape}") for n, a in theirs.items() if n not in mine]
    return found


def rename(net: NetParameter, names: Mapping[str, str]) -> NetParameter:
    """Return a copy in which layers have other names.

    ``*`` in an old name stands for any text, and in the new one for the text it stood for: ``{"conv*": "stem/conv*"}``.
    Of several that fit a layer, the first counts. WeightsError for a name that no layer has, or that two would have.
    """
    known = [layer.name for layer in net.layer]
    for old in names:
        if not any(_matches(old, name) for name in known):
            raise WeightsError(f'The file has no layer "{old}".{did_you_mean(old, known)}')
    renamed = NetParameter()
    renamed.CopyFrom(net)
    for layer in renamed.layer:
        layer.name = next((_renamed(layer.name, *pair) for pair in names.items() if _matches(pair[0], layer.name)),
                          layer.name)  # fmt: skip
    taken = Counter(layer.name for layer in renamed.layer if layer.blobs)
    before = Counter(layer.name for layer in net.layer if layer.blobs)
    for new, count in taken.items():
        if count > max(1, before[new]):
            raise WeightsError(f'Two layers would be called "{new}". Give each its own name.')
    return renamed


def renamed(names: Sequence[str], pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the new names of tensors by the old ones, with patterns as `rename` takes them for layers."""
    for old in pairs:
        if not any(_matches(old, name) for name in names):
            raise WeightsError(f'The file has no tensor "{old}".{did_you_mean(old, names)}')
    new = {name: next((_renamed(name, *pair) for pair in pairs.items() if _matches(pair[0], name)), name)
           for name in names}  # fmt: skip
    for name, count in Counter(new.values()).items():
        if count > 1:
            raise WeightsError(f'{count} tensors would be called "{name}". Give each its own name.')
    return new


def select(net: NetParameter, pattern: str) -> NetParameter:
    """Return the layers with blobs whose names fit a pattern (``*`` stands for any text); WeightsError if none do."""
    selected = NetParameter(name=net.name)
    selected.layer.extend(layer for layer in net.layer if layer.blobs and _matches(pattern, layer.name))
    if not selected.layer:
        names = ", ".join(layer.name for layer in net.layer if layer.blobs)
        raise WeightsError(f'No layer with weights fits "{pattern}". Their names: {names}.')
    return selected


def merge(nets: Sequence[NetParameter]) -> NetParameter:
    """Return the layers of all files; of a layer that several have, the last one's blobs."""
    merged = NetParameter(name=nets[0].name if nets else "")
    last = {layer.name: i for i, net in enumerate(nets) for layer in net.layer if layer.blobs}
    for i, net in enumerate(nets):
        for layer in net.layer:
            if layer.blobs and last[layer.name] == i:
                merged.layer.append(layer)
    return merged


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _matches(pattern: str, name: str) -> bool:
    return _expression(pattern).fullmatch(name) is not None


def _renamed(name: str, old: str, new: str) -> str:
    match = _expression(old).fullmatch(name)
    texts = iter(match.groups() if match is not None else ())
    first, *others = new.split("*")
    return first + "".join(next(texts, "") + other for other in others)


def _row(entry: Entry) -> list[str]:
    shape = " x ".join(map(str, entry.shape)) or "scalar"
    figures = [f"{value:.4g}" for value in (entry.mean, entry.std, entry.low, entry.high)]
    note = f"{entry.nan}" + (f" and {entry.infinite} infinite" if entry.infinite else "")
    return [entry.layer, entry.type, str(entry.index), shape, entry.dtype, str(entry.count), *figures, note]


def _figures(values: Array | None) -> tuple[float, float, float, float, int, int]:
    if values is None:
        return (float("nan"),) * 4 + (0, 0)
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    wide = values[np.isfinite(values)].astype(np.float64)
    if wide.size == 0:
        return (float("nan"),) * 4 + (nan, infinite)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(wide.mean()), float(wide.std()), float(wide.min()), float(wide.max()), nan, infinite


def _compare(name: str, first: Array, second: Array, tolerance: float) -> list[Difference]:
    if first.shape != second.shape:
        return [Difference(name, "shape", f"{first.shape} and {second.shape}")]
    if np.array_equal(first, second, equal_nan=True):
        return []
    with np.errstate(invalid="ignore"):
        gap = np.abs(first.astype(np.float64) - second)
    largest = float(np.inf if np.isnan(gap).any() else gap.max())
    if largest <= tolerance:
        return []
    relative = largest / (float(np.abs(first).max()) or 1.0)
    detail = f"largest difference {largest:.4g}, {relative:.4g} of the largest value"
    return [Difference(name, "values", detail, largest, relative)]
