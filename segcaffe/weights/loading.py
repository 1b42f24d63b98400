"""Bringing weights of a file into a net: layers by name, blobs by index."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segcaffe.blob.proto import flat_array_of, same_shape, shape_of
from segcaffe.errors import WeightsError
from segcaffe.layers.base import Layer
from segcaffe.proto import caffe_pb2
from segcaffe.text.words import counted

log = logging.getLogger("segcaffe")
_SHOWN = 12


@dataclass(frozen=True)
class LoadReport:
    """What became of a file of weights and of a net's layers.

    Attributes
    ----------
    loaded, kept, unused:
        Names of the layers that got weights; of those with parameters that keep their values, as the file does not
        have them; of the file's layers that the net does not have.
    """

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]

    @classmethod
    def of(cls, with_parameters: Iterable[str], stored: Iterable[str]) -> LoadReport:
        """Match the names of a net's layers that have parameters with those of a file."""
        mine, theirs = dict.fromkeys(with_parameters), dict.fromkeys(stored)
        loaded = tuple(name for name in mine if name in theirs)
        kept = tuple(name for name in mine if name not in theirs)
        return cls(loaded, kept, tuple(name for name in theirs if name not in mine))

    @property
    def strangers(self) -> bool:
        """Whether net and file have layers with weights but share no name."""
        return bool(self.kept and self.unused and not self.loaded)

    def lines(self) -> list[str]:
        """Return a line for each of the three that is not empty."""
        sentences = {
            "got weights": self.loaded,
            "without weights in the file, values kept": self.kept,
            "of the file not in the net, not used": self.unused,
        }
        return [f"{counted(len(names), 'layer')} {what}: {shown(names)}" for what, names in sentences.items() if names]


def copy_weights(layers: Sequence[Layer], source: caffe_pb2.NetParameter, where: str) -> LoadReport:
    """Copy blobs into the layers of the same names, once all of them are known to fit.

    Layers that the file does not have keep their values; layers that the net does not have are passed over. The log
    tells which. WeightsError names layer, index, both shapes and the remedy; a layer that the file has without blobs is
    one that does not fit.
    """
    stored = [message for message in source.layer if message.blobs]
    for message, takers in check_weights(layers, source, where):
        if not takers:
            log.info("Ignoring source layer %s", message.name)
        for layer in takers:
            _copy(layer, message, where)
    report = LoadReport.of((layer.name for layer in layers if layer.blobs), (message.name for message in stored))
    _log(report, where)
    return report


def check_weights(
    layers: Sequence[Layer], source: caffe_pb2.NetParameter, where: str
) -> list[tuple[caffe_pb2.LayerParameter, list[Layer]]]:
    """See that the blobs of a file fit the layers of the same names, and say which layers take each stored layer's.

    WeightsError as `copy_weights` has it.
    """
    _check_bare(layers, source, where)
    matches = _matches(layers, [message for message in source.layer if message.blobs])
    for message, takers in matches:
        for layer in takers:
            _check(layer, message, where)
    return matches


def _check_bare(layers: Sequence[Layer], source: caffe_pb2.NetParameter, where: str) -> None:
    """Raise WeightsError for a layer with parameters that the file has, and always without blobs."""
    with_blobs = {message.name for message in source.layer if message.blobs}
    bare = {message.name: message for message in source.layer if message.name not in with_blobs}
    for layer in layers:
        if layer.blobs and layer.name in bare:
            _check(layer, bare[layer.name], where)


def _matches(
    layers: Sequence[Layer], stored: Sequence[caffe_pb2.LayerParameter]
) -> list[tuple[caffe_pb2.LayerParameter, list[Layer]]]:
    """Say for each stored layer which layers take its blobs: those of its name.

    Of layers named alike, as many in the file as in the net, each takes those of its own counterpart.
    """
    by_name: dict[str, list[Layer]] = {}
    for layer in layers:
        by_name.setdefault(layer.name, []).append(layer)
    counts = Counter(message.name for message in stored)
    met: Counter[str] = Counter()
    matches = []
    for message in stored:
        alike = by_name.get(message.name, [])
        takers = [layer for layer in alike if layer.blobs] or alike
        if len(takers) == counts[message.name]:
            takers = [takers[met[message.name]]]
        met[message.name] += 1
        matches.append((message, takers))
    return matches


def take_own_blobs(layer: Layer) -> None:
    """Give a layer the values that its own definition holds in ``blobs``, if any; WeightsError if they do not fit."""
    if layer.param.blobs:
        _check(layer, layer.param, "blobs of the net's definition")
        _copy(layer, layer.param, "blobs of the net's definition")


def _copy(layer: Layer, message: caffe_pb2.LayerParameter, where: str) -> None:
    for index, (blob, stored_blob) in enumerate(zip(layer.blobs, message.blobs, strict=False)):
        if not _stored_by_owner(layer, index, message):
            blob.take_over(flat_array_of(stored_blob, f"{where}: layer {message.name!r} blob {index}"))


def _log(report: LoadReport, where: str) -> None:
    if report.strangers:
        log.warning(
            "%s: none of its %d layers with weights has the name of a layer of the net; nothing was loaded. "
            "The file has %s; the net has %s.",
            where,
            len(report.unused),
            shown(report.unused),
            shown(report.kept),
        )
        return
    for line in report.lines():
        log.info("%s: %s", where, line)


def shown(names: Sequence[str]) -> str:
    """Return the names, the first dozen of many, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _check(layer: Layer, message: caffe_pb2.LayerParameter, where: str) -> None:
    last = max(len(layer.blobs), len(message.blobs)) - 1
    fewer = len(message.blobs) < len(layer.blobs) and layer.takes_fewer(len(message.blobs))
    if len(layer.blobs) != len(message.blobs) and not fewer and not _stored_by_owner(layer, last, message):
        raise WeightsError(
            f"{where}: {layer.where} has {counted(len(layer.blobs), 'parameter')}, the file {len(message.blobs)}. "
            "Check options such as bias_term, or rename the layer to keep its initial values."
        )
    for index, (blob, stored) in enumerate(zip(layer.blobs, message.blobs, strict=False)):
        if not _stored_by_owner(layer, index, message) and not same_shape(blob.shape, stored):
            raise WeightsError(
                f"{where}: parameter {index} of {layer.where} has shape {shape_of(stored)} in the file and "
                f"{blob.shape} in the net. To learn it from scratch, rename the layer; otherwise make the shapes equal."
            )


def _stored_by_owner(layer: Layer, index: int, message: caffe_pb2.LayerParameter) -> bool:
    """Whether the file leaves out a shared parameter because another layer owns it, as HDF5 files do."""
    named = index < min(len(layer.param.param), len(layer.blobs)) and bool(layer.param.param[index].name)
    return named and not (index < len(message.blobs) and message.blobs[index].ByteSize())
