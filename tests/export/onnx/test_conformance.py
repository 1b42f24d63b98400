"""Every layer type goes out, and ONNX Runtime computes what we do; those that do not are listed with their reasons."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from segcaffe.errors import ExportError
from segcaffe.export.onnx.left_out import REASONS
from segcaffe.export.onnx.registry import mapped_types
from segcaffe.layers.registry import layer_class, layer_types
from segcaffe.layers.source.base import SourceLayer
from segcaffe.testing import LayerCase
from tests.cases import all_cases
from tests.export.onnx.running import check, model_of, newest_to_run, source_of, with_another_item

REFUSED = {
    "CTCGreedyDecoder_accuracy": "cell by cell",
    "CTCGreedyDecoder_all": "cell by cell",
    "DummyData_gaussian": "drawn anew",
    "Python": "runs Python code",
    "SegAccuracy_accumulated": "from batch to batch",
    "Silence": "no blob",
}
"""Cases of types that are written, but not with these options, and what is told."""
NEWEST = {"ROIAlign": 21, "ROIPooling": 21}
"""The last opset of whose operator ONNX Runtime has an implementation, where that is not the newest."""
CANCELLING = {"Reduction_SUM"}
"""Cases whose result is small beside what is added: their tolerance is of the largest value that goes in."""


@cache
def cases() -> dict[str, LayerCase]:
    return {case.id: case for case in all_cases() if case.type in mapped_types()}


def is_known_otherwise(layer_type: str) -> bool:
    """Whether the frame handles a type: data layers become inputs, what writes files is left out."""
    cls = layer_class(layer_type)
    return cls.sink or layer_type == "Input" or (issubclass(cls, SourceLayer) and cls.data)


def test_every_type_is_written_or_listed() -> None:
    types = {name for name in layer_types() if not is_known_otherwise(name)}
    written, listed = set(mapped_types()), set(REASONS)
    assert sorted(written & listed) == [], "written after all"
    assert sorted(types - written - listed) == [], "neither written nor listed with a reason"
    assert sorted((written | listed) - types) == [], "no types"


def compare(name: str, opset: int) -> None:
    """A case's model against its net; where the batch is symbolic, with one more item as well."""
    case = cases()[name]
    source = source_of(case)
    model = model_of(source, opset=opset)
    inputs = dict(zip(source.net.inputs, case.inputs(), strict=True))
    scale = max(np.max(np.abs(values)) for values in inputs.values()) if name in CANCELLING else 0.0
    check(source.net, model, inputs, at_least=float(scale))
    more = with_another_item(model, inputs)
    if more:
        check(source.net, model, more, at_least=float(scale))


@pytest.mark.parametrize("name", sorted(cases().keys() - REFUSED))
def test_onnx_runtime_computes_what_the_layer_does(name: str) -> None:
    compare(name, 17)


@pytest.mark.parametrize("name", sorted(cases().keys() - REFUSED))
@pytest.mark.parametrize("opset", [11, 13, newest_to_run()])
def test_other_opsets(name: str, opset: int) -> None:
    compare(name, min(opset, NEWEST.get(cases()[name].type, opset)))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match=REFUSED[name]):
        model_of(source_of(cases()[name]))
