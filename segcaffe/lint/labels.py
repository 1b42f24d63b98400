"""Labels as they really are: the first images of a net's data, held against its classes and ignored labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.lint.compare import origins
from segcaffe.lint.finding import Finding
from segcaffe.lint.net_checks import PADDED_LABEL, label_readers, padding_sources
from segcaffe.lint.subject import Subject
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter

_IMAGES = 20
_MOST_CLASSES = 1000


def labels(subject: Subject) -> Iterator[Finding]:
    """Findings about labels that no class has, and ignored ones that do not occur, among the first images.

    Nothing is found where the data cannot be read; that is for the run itself to say.
    """
    if subject.unset:
        return
    seen: dict[str, set[int]] = {}
    for source in subject.sources:
        if source.type not in ("Input", "DummyData", "MemoryData"):
            seen.update(_values(source, subject.phase))
    for layer, ignored in label_readers(subject):
        if layer.type == "Im2parity" or len(layer.bottom) < 2:
            continue
        blobs = [blob for blob in origins(subject, layer, 1, set(seen)) if blob in seen]
        if len(blobs) == 1 and seen[blobs[0]]:
            yield from _judge(subject, layer, ignored, seen[blobs[0]])


def _judge(subject: Subject, layer: LayerParameter, ignored: int | None, seen: set[int]) -> Iterator[Finding]:
    classes = _classes(subject, layer)
    strange = sorted(value for value in seen if value < 0 or (classes is not None and value >= classes))
    strange = [value for value in strange if value != ignored]
    occurring = ", ".join(map(str, sorted(seen)[:30]))
    if strange:
        told = f"ignores label {ignored}" if ignored is not None else "ignores no label"
        yield Finding(
            "label-range",
            subject.where(layer),
            f"has {classes} classes and {told}, but the labels of the first images are {occurring}.",
            f"Label {strange[0]} is neither a class nor ignored: the run stops, or learns from uninitialised values.",
            f"ignore_label: {strange[-1]}, or num_output: {strange[-1] + 1} in the layer that makes the scores.",
        )
    elif ignored is not None and ignored not in seen and not (ignored == PADDED_LABEL and padding_sources(subject)):
        yield Finding(
            "ignored-label",
            subject.where(layer),
            f"ignores label {ignored}, which the first images do not have; their labels are {occurring}.",
            "If void pixels carry another number, they are learnt as a class.",
            "the number that void pixels have, or nothing if there are none.",
        )


def _values(source: LayerParameter, phase: int) -> dict[str, set[int]]:
    """Whole numbers in each top of a source that looks like labels, over its first images."""
    net = NetParameter()
    net.layer.add().CopyFrom(source)
    for rules in ("include", "exclude"):
        net.layer[0].ClearField(rules)
    found: dict[str, set[float]] = {top: set() for top in source.top[1:]}
    try:
        alone = Net(net, phase=phase)
        images = 0
        while images < _IMAGES:
            alone.forward()
            images += max(1, alone.blobs[source.top[0]].shape[0])
            for top, values in found.items():
                values.update(np.unique(alone.blobs[top].data).tolist())
    except SegcaffeError:
        return {}
    whole = {top: values for top, values in found.items() if all(float(value).is_integer() for value in values)}
    return {top: {int(value) for value in values} for top, values in whole.items() if len(values) < _MOST_CLASSES}


def _classes(subject: Subject, layer: LayerParameter) -> int | None:
    """Number of classes a layer's scores have; None where one cannot see it."""
    by_name = {other.name: other for other in subject.layers}
    makers = [by_name.get(name) for name in origins(subject, layer, 0, set())]
    counts = {m.convolution_param.num_output or m.inner_product_param.num_output for m in makers if m is not None}
    return counts.pop() if len(counts) == 1 and 0 not in counts else None
