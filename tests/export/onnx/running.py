"""Models made of layer cases, and run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime

from segcaffe.export.onnx import Options, export_net
from segcaffe.export.source import Source, build_source
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.testing import LayerCase

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-5
"""Of the largest value."""


def source_of(case: LayerCase) -> Source:
    """The net of one layer, in phase TEST, with the case's inputs and parameters."""
    param, values = case.layer_param(), case.inputs()
    net = caffe_pb2.NetParameter(name=case.id)
    for name, array in zip(param.bottom, values, strict=True):
        layer = net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add().dim.extend(array.shape)
    net.layer.add().CopyFrom(param)
    source = build_source(net)
    made = case.build()[0]
    for blob, given in zip(source.net.layer_dict["layer"].blobs, made.blobs, strict=True):
        blob.data[...] = given.data
    return source


def model_of(source: Source, **options: Any) -> Any:
    """The model, which onnx has looked at with all that it can infer."""
    exported = export_net(source, Options(**options))
    onnx.checker.check_model(exported.model, full_check=True)
    return exported.model


def run(model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """A model's outputs by name."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {entry.name for entry in session.get_inputs()}
    given = {name: values for name, values in inputs.items() if name in wanted}
    return dict(zip(names, session.run(names, given), strict=True))


def check(net: Net, model: Any, inputs: Mapping[str, Array], at_least: float = 0.0) -> None:
    """Compare a model's outputs with the net's, to `TOLERANCE` of each one's largest value, or of ``at_least``."""
    for name, values in inputs.items():
        net.blobs[name].reshape(*values.shape)
        net.blobs[name].data[...] = values
    net.reshape()
    net.forward()
    results = run(model, inputs)
    assert results, "the model has no outputs"
    for name, found in results.items():
        wanted = net.blobs[name].data
        assert found.shape == wanted.shape, name
        scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=at_least)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * float(scale), err_msg=name)


def with_another_item(model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs with one more item where the model's batch is symbolic; nothing where it is not."""
    symbolic = {info.name for info in model.graph.input if _is_symbolic(info)}
    more = {name: np.concatenate([values, values[:1]]) for name, values in inputs.items() if name in symbolic}
    return {**inputs, **more} if more else {}


def _is_symbolic(info: Any) -> bool:
    dims = info.type.tensor_type.shape.dim
    return bool(dims) and dims[0].dim_param != ""


@cache
def newest_to_run() -> int:
    """The newest opset that both onnx and ONNX Runtime know."""
    for opset in range(onnx.defs.onnx_opset_version(), 16, -1):
        identity = onnx.helper.make_node("Identity", ["x"], ["y"])
        values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
        graph = onnx.helper.make_graph([identity], "graph", values[:1], values[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
        try:
            run(model, {"x": np.zeros(1, np.float32)})
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            continue
        return opset
    raise AssertionError("ONNX Runtime knows none of the opsets")
