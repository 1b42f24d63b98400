"""Every layer type goes out, and ONNX Runtime computes what we do; those that do not are listed with their reasons."""

from __future__ import annotations

from functools import cache

import pytest

from segcaffe.export.onnx.left_out import REASONS
from segcaffe.export.onnx.registry import mapped_types
from segcaffe.layers.registry import layer_class, layer_types
from segcaffe.layers.source.base import SourceLayer
from segcaffe.testing import LayerCase
from tests.cases import all_cases
from tests.export.onnx.running import check, model_of, source_of


@cache
def cases() -> dict[str, LayerCase]:
    return {case.id: case for case in all_cases() if case.type in mapped_types()}


def is_known_otherwise(layer_type: str) -> bool:
    """Whether the frame handles a type: data layers become inputs, what writes files is left out."""
    cls = layer_class(layer_type)
    return cls.sink or layer_type == "Input" or (issubclass(cls, SourceLayer) and cls.data)


def test_every_type_is_written_or_listed() -> None:
    listed = set(REASONS)
    known = set(mapped_types())
    types = {name for name in layer_types() if not is_known_otherwise(name)}
    assert listed.isdisjoint(known), "written after all"
    assert listed <= types


@pytest.mark.parametrize("name", sorted(cases()))
def test_onnx_runtime_computes_what_the_layer_does(name: str) -> None:
    source = source_of(cases()[name])
    inputs = dict(zip(source.net.inputs, cases()[name].inputs(), strict=True))
    check(source.net, model_of(source), inputs)
