"""Whether weights fit a net that is about to be used: layers without them would answer with random numbers."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from google.protobuf.message import Message

from segcaffe.blob.fillers import RANDOM
from segcaffe.errors import WeightsError
from segcaffe.layers.base import Layer
from segcaffe.proto import caffe_pb2
from segcaffe.weights.loading import LoadReport, copy_weights, shown


def load_all(
    layers: Sequence[Layer],
    stored: Mapping[str, caffe_pb2.NetParameter],
    allow_partial: bool = False,
    finetuning: bool = False,
) -> str:
    """Copy weights by layer name, file after file, and see that they are the net's.

    Parameters
    ----------
    stored:
        The weights by the name of their file.
    allow_partial:
        Whether layers may keep the values they were made with.
    finetuning:
        Whether they may as long as each file has weights for some layer: training begins with such layers.

    Returns
    -------
    str
        A warning that names the layers that keep random or zero values; empty if there are none.

    Raises
    ------
    WeightsError
        A file has weights for no layer, or no file has them for a layer whose values are random or zero; unless
        ``allow_partial`` (or ``finetuning``) allows it.
    """
    loaded: set[str] = set()
    for where, source in stored.items():
        with_weights = [message.name for message in source.layer if message.blobs]
        report = LoadReport.of((layer.name for layer in layers if layer.blobs), with_weights)
        if report.kept and not report.loaded and not allow_partial:
            raise WeightsError(_nothing_fits(report, where))
        copy_weights(layers, source, where)
        loaded.update(report.loaded)
    left = left_arbitrary(layers, loaded)
    if not stored or not left:
        return ""
    told, names = _told(layers, left)
    if not (allow_partial or finetuning):
        raise WeightsError(
            f"{' and '.join(stored)}: no weights for {told}: {names}. Their random or zero values would make the "
            "results meaningless. Give the weights of this net, or say --allow-partial."
        )
    return warning(layers, loaded)


def warning(layers: Sequence[Layer], loaded: Container[str]) -> str:
    """The warning that names the layers that keep random or zero values; empty if there are none.

    ``loaded`` are the names of those that got weights.
    """
    left = left_arbitrary(layers, loaded)
    told, names = _told(layers, left)
    return f"{told} begin with random or zero values, the weights do not have them: {names}." if left else ""


def left_arbitrary(layers: Sequence[Layer], loaded: Container[str]) -> list[Layer]:
    """The layers that got no weights and whose values mean nothing."""
    left = [layer for layer in layers if layer.name not in loaded and is_arbitrary(layer)]
    # A layer may use the parameters of another by their name.
    return [layer for layer in left if not _shares_all(layer, [other for other in layers if other.name in loaded])]


def _told(layers: Sequence[Layer], left: Sequence[Layer]) -> tuple[str, str]:
    """How many layers of how many, and their names."""
    count = sum(bool(layer.blobs) for layer in layers)
    return f"{len(left)} of {count} layers with parameters", shown([layer.name for layer in left])


def is_arbitrary(layer: Layer) -> bool:
    """Whether a layer's parameters, not loaded, mean nothing: its weights are zero, or come from a random filler.

    A constant that is not zero (a factor, a slope), bilinear weights and values in the net's file mean something.
    """
    if not layer.blobs or layer.param.blobs:
        return False
    return not layer.blobs[0].data.any() or any(filler in RANDOM for filler in _fillers(layer.param))


def _fillers(message: Message) -> Iterator[str]:
    """Types of all fillers in a message."""
    for field, value in message.ListFields():
        if field.message_type is None or field.name == "blobs":
            continue
        for part in [value] if isinstance(value, Message) else value:
            if isinstance(part, caffe_pb2.FillerParameter):
                yield part.type
            else:
                yield from _fillers(part)


def _shares_all(layer: Layer, others: Sequence[Layer]) -> bool:
    theirs = [blob for other in others for blob in other.blobs]
    return all(any(blob.shares_data_with(other) for other in theirs) for blob in layer.blobs)


def _nothing_fits(report: LoadReport, where: str) -> str:
    has = shown(report.unused) or "no layer with weights"
    return (
        f"{where}: none of its layers with weights has the name of a layer of the net. The file has {has}; the net has "
        f"{shown(report.kept)}. Give the weights of this net, or say --allow-partial."
    )
