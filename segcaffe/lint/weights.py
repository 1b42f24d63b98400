"""A net beside a file of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segcaffe.blob.proto import shape_of
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.inner_product import InnerProduct
from segcaffe.lint.finding import Finding
from segcaffe.lint.subject import Subject, blob_count, class_of
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.text.words import counted
from segcaffe.weights.loading import LoadReport

_SHOWN = 8


def weights(subject: Subject, stored: NetParameter, path: str) -> Iterator[Finding]:
    """Findings about a net that is to be loaded from ``path``."""
    mine = [layer for layer in subject.layers if blob_count(layer)]
    theirs = {layer.name: layer for layer in stored.layer if layer.blobs}
    report = LoadReport.of((layer.name for layer in mine), theirs)
    if report.strangers:
        count = counted(len(report.kept), "layer")
        yield Finding(
            "no-name-shared",
            str(subject.path),
            f"of its {count} with weights none is in {path}, which has {_list(report.unused)}.",
            "Weights go by layer name: nothing would be loaded, and the net runs on its fillers.",
            f"the names of the file, or rename them: segcaffe weights rename {path} OUT OLD=NEW.",
        )
        return
    if report.kept:
        first = next(layer for layer in mine if layer.name in report.kept)
        yield Finding(
            "keeps-filler",
            subject.where(first),
            f"{counted(len(report.kept), 'layer')} not in {path}: {_list(report.kept)}.",
            "They keep what their fillers say. That is meant when they are to be learnt anew, and wrong for testing.",
            "the names that the file has, if it holds their weights.",
        )
    if report.unused:
        yield Finding(
            "unused-weights",
            str(subject.path),
            f"{counted(len(report.unused), 'layer')} of {path} not in the net: {_list(report.unused)}.",
            "Their weights are not used. That is meant where a layer was replaced, and wrong where it was misspelt.",
            "the same names in both.",
        )
    for layer in mine:
        if layer.name in theirs:
            yield from _sizes(subject, layer, theirs[layer.name], path)


def _sizes(subject: Subject, layer: LayerParameter, stored: LayerParameter, path: str) -> Iterator[Finding]:
    outputs = layer.convolution_param.num_output or layer.inner_product_param.num_output
    count = blob_count(layer)
    if not issubclass(class_of(layer), (Convolution, InnerProduct)) or subject.unset or not outputs:
        return
    if len(stored.blobs) != count:
        yield Finding(
            "other-shape",
            subject.where(layer),
            f"has {counted(count, 'blob')}; {path} has {len(stored.blobs)} for it.",
            "Loading stops with an error.",
            "bias_term as it was in training, or another name for the layer, to learn it anew.",
        )
    elif (rows := _rows(stored)) != outputs:
        yield Finding(
            "other-shape",
            subject.where(layer),
            f"num_output is {outputs}; {path} has weights of shape {shape_of(stored.blobs[0])} for it.",
            "Loading stops with an error.",
            f"num_output: {rows}, or another name for the layer, to learn it anew.",
        )


def _rows(stored: LayerParameter) -> int:
    """Number of outputs: the extent of the first axis, of the third in old files' inner products."""
    shape = shape_of(stored.blobs[0])
    is_old_product = len(shape) == 4 and stored.type == "InnerProduct"
    return shape[2] if is_old_product else shape[0] if shape else 1


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
