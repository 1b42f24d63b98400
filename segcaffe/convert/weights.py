"""What one does with weights: list them, compare, rename layers, merge files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.blob.proto import shape_of
from segcaffe.convert.formats import arrays_of
from segcaffe.errors import WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Entry:
    """One blob of a file: its layer, index and shape, and figures of its values (NaN for an empty one)."""

    layer: str
    type: str
    index: int
    shape: tuple[int, ...]
    mean: float
    std: float
    low: float
    high: float
    finite: bool

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
            found.append(Entry(layer.name, layer.type, index, shape_of(blob), *_figures(values)))
    return found


def table(net: NetParameter, where: str = "weights") -> str:
    """Return the blobs of a file as a table with totals."""
    found = entries(net, where)
    rows = [["layer", "type", "blob", "shape", "values", "mean", "std", "min", "max", ""], *map(_row, found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = sum(entry.count for entry in found)
    layers = len({entry.layer for entry in found})
    return "\n".join([*lines, f"{layers} layers, {len(found)} blobs, {total} values ({total * 4 / 2**20:.1f} MiB)"])


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
    """Return a copy in which layers have other names; WeightsError for a name it does not have or would have twice."""
    known = [layer.name for layer in net.layer]
    for old in names:
        if old not in known:
            near = difflib.get_close_matches(old, known, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise WeightsError(f'The file has no layer "{old}".{hint}')
    kept = {layer.name for layer in net.layer if layer.blobs and layer.name not in names}
    targets = list(names.values())
    for new in targets:
        if new in kept or targets.count(new) > 1:
            raise WeightsError(f'Two layers would be called "{new}". Give each its own name.')
    renamed = NetParameter()
    renamed.CopyFrom(net)
    for layer in renamed.layer:
        layer.name = names.get(layer.name, layer.name)
    return renamed


def merge(nets: Sequence[NetParameter]) -> NetParameter:
    """Return the layers of all files; of a layer that several have, the last one's blobs."""
    merged = NetParameter(name=nets[0].name if nets else "")
    last = {layer.name: i for i, net in enumerate(nets) for layer in net.layer if layer.blobs}
    for i, net in enumerate(nets):
        for layer in net.layer:
            if layer.blobs and last[layer.name] == i:
                merged.layer.append(layer)
    return merged


def _row(entry: Entry) -> list[str]:
    shape = " x ".join(map(str, entry.shape)) or "scalar"
    figures = [f"{value:.4g}" for value in (entry.mean, entry.std, entry.low, entry.high)]
    note = "" if entry.finite else "NOT FINITE"
    return [entry.layer, entry.type, str(entry.index), shape, str(entry.count), *figures, note]


def _figures(values: Array | None) -> tuple[float, float, float, float, bool]:
    if values is None or values.size == 0:
        return (float("nan"),) * 4 + (True,)
    wide = values.astype(np.float64)
    finite = bool(np.isfinite(wide).all())
    with np.errstate(invalid="ignore", over="ignore"):
        return float(wide.mean()), float(wide.std()), float(wide.min()), float(wide.max()), finite


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
