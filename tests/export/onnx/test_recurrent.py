"""Recurrent nets whose sequences begin at the first step are ONNX's own operators, others are steps of a Scan."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.export.source import build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.export.onnx.running import check, model_of

STEPS, STREAMS = 5, 3
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 dim: 3 dim: 2 dim: 2 } } }
layer { name: "items" type: "Input" top: "items" input_param { shape { dim: 3 dim: 4 } } }
CONT
layer { name: "steps" type: "TYPE" bottom: "x" bottom: "cont" bottom: "items" top: "steps"
  recurrent_param { num_output: 6 weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" } } }
"""
INDICATOR = """
layer { name: "cont" type: "ContinuationIndicator" bottom: "items" top: "cont"
  continuation_indicator_param { time_step: 5 } }
"""
GIVEN = 'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 5 dim: 3 } } }'


@pytest.mark.parametrize("layer_type", ["LSTM", "RNN"])
@pytest.mark.parametrize(("cont", "operator"), [(INDICATOR, None), (GIVEN, "Scan")])
def test_the_operator_where_sequences_begin_together(layer_type: str, cont: str, operator: str | None) -> None:
    text = NET.replace("TYPE", layer_type).replace("CONT", cont)
    source = build_source(parse(text, caffe_pb2.NetParameter()))
    model = model_of(source)
    operators = {node.op_type for node in model.graph.node}
    assert (operator or layer_type) in operators
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal(source.net.blobs[name].shape).astype(np.float32) for name in source.net.inputs}
    if "cont" in inputs:
        inputs["cont"] = (rng.random((STEPS, STREAMS)) > 0.3).astype(np.float32)
    check(source.net, model, inputs)
