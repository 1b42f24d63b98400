"""What a model holds besides its layers: names, shapes, the batch, preparation of images, parts of a net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from segcaffe.errors import ExportError, GraphError, UnknownNameError
from segcaffe.export.onnx import export, write
from segcaffe.export.onnx.preprocessing import Preprocessing
from segcaffe.export.refusals import RefusedError
from segcaffe.export.source import Source, Wishes, build_source, read_source
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.export.onnx.running import check, model_of, run

NET = """
name: "small"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "one" type: "Convolution" bottom: "conv" top: "one" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "two" type: "Convolution" bottom: "conv" top: "two" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "one" bottom: "two" top: "sum" }
layer { name: "prob" type: "Softmax" bottom: "sum" top: "prob" }
"""
IMAGE = np.random.default_rng(0).uniform(0, 255, (2, 3, 7, 8)).astype(np.float32)


def source_of(text: str = NET, **wishes: Any) -> Source:
    source = build_source(parse(text, caffe_pb2.NetParameter()), wishes=Wishes(**wishes))
    rng = np.random.default_rng(1)
    for name, blobs in source.net.params.items():
        for blob in blobs:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.shape) * (0.01 if name == "conv" else 1)
    return source


def shapes(model: Any) -> dict[str, list[int | str]]:
    infos = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim] for info in infos}


def names(model: Any) -> list[str]:
    return [node.name for node in model.graph.node]


def test_names_of_layers_blobs_and_parameters_are_kept() -> None:
    model = model_of(source_of())
    assert model.graph.name == "small"
    assert [info.name for info in model.graph.input] == ["data"]
    assert [info.name for info in model.graph.output] == ["prob"]
    wanted = ["conv", "norm", "scale/Mul", "scale", "relu", "one", "two", "sum", "prob"]
    assert names(model) == wanted
    assert {node.output[0] for node in model.graph.node if node.name in ("relu", "one", "prob")} == {
        "conv",
        "one",
        "prob",
    }
    parameters = {tensor.name for tensor in model.graph.initializer}
    assert parameters >= {"conv/0", "conv/1", "norm/0", "norm/1", "scale/0", "scale/1", "one/0", "one/1"}


def test_a_shared_parameter_is_there_once() -> None:
    model = model_of(source_of())
    assert not [tensor for tensor in model.graph.initializer if tensor.name.startswith("two/")]
    assert [list(node.input[1:]) for node in model.graph.node if node.name in ("one", "two")] == [
        ["one/0", "one/1"]
    ] * 2


def test_every_blob_has_a_shape_with_the_batch_as_a_symbol() -> None:
    found = shapes(model_of(source_of()))
    assert found == {
        "data": ["batch", 3, 7, 8],
        "conv": ["batch", 4, 5, 6],
        "one": ["batch", 2, 5, 6],
        "two": ["batch", 2, 5, 6],
        "sum": ["batch", 2, 5, 6],
        "prob": ["batch", 2, 5, 6],
    }
    assert shapes(model_of(source_of(batch=5), batch="fixed"))["prob"] == [5, 2, 5, 6]


def test_the_same_values_in_any_batch() -> None:
    source = source_of()
    model = model_of(source)
    for count in (1, 2, 5):
        check(source.net, model, {"data": np.resize(IMAGE, (count, 3, 7, 8))})


def test_what_fixes_the_batch_is_told() -> None:
    dims = "dim: 2 dim: 2 dim: 5 dim: 6"
    text = f'layer {{ name: "r" type: "Reshape" bottom: "prob" top: "r" reshape_param {{ shape {{ {dims} }} }} }}'
    source = source_of(NET + text)
    assert shapes(model_of(source))["data"] == [2, 3, 7, 8]
    with pytest.raises(ExportError, match=r"cannot be symbolic.*--batch 2"):
        model_of(source, batch="dynamic")


def test_simplify_leaves_a_convolution_and_its_values() -> None:
    source = source_of()
    model = model_of(source, simplify=True)
    assert names(model) == ["conv", "relu", "one", "two", "sum", "prob"]
    check(source.net, model, {"data": IMAGE})
    assert {tensor.name for tensor in model.graph.initializer} == {"conv/0", "conv/1", "one/0", "one/1"}


@pytest.mark.parametrize(
    "layer",
    [
        'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 2 group: 2 bias_term: false }',
        'type: "InnerProduct" inner_product_param { num_output: 4 transpose: true }',
        'type: "InnerProduct" inner_product_param { num_output: 4 bias_term: false }',
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 group: 2 }',
    ],
)
def test_simplify_folds_into_each_kind_of_layer(layer: str) -> None:
    source = source_of(
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 5 } } }'
        f'layer {{ name: "a" bottom: "data" top: "a" {layer} }}'
        'layer { name: "n" type: "BatchNorm" bottom: "a" top: "n" }'
        'layer { name: "s" type: "Scale" bottom: "n" top: "s" scale_param { bias_term: true } }'
    )
    model = model_of(source, simplify=True)
    assert len(model.graph.node) == 1 + ("Inner" in layer)
    check(source.net, model, {"data": np.resize(IMAGE / 255, (2, 4, 5, 5))})


def test_simplify_keeps_what_others_read() -> None:
    text = NET.replace('bottom: "one" bottom: "two"', 'bottom: "one" bottom: "scaled"')
    text = text.replace(
        'layer { name: "sum"', 'layer { name: "scaled" type: "Scale" bottom: "two" top: "scaled" }\nlayer { name: "sum"'
    )
    model = model_of(source_of(text), simplify=True)
    assert "scaled" in names(model), "its weights are those of another layer, too"


def test_preparation_of_images_is_part_of_the_graph() -> None:
    source = source_of()
    wanted = Preprocessing((10, 20, 30), 0.5, bgr_from_rgb=True)
    model = model_of(source, preprocessing=wanted)
    prepared = (IMAGE[:, ::-1] - np.array([10, 20, 30], np.float32).reshape(1, 3, 1, 1)) * np.float32(0.5)
    source.net.forward(data=prepared)
    np.testing.assert_allclose(run(model, {"data": IMAGE})["prob"], source.net.blobs["prob"].data, atol=1e-5)
    assert metadata(model)["preprocessing_in_graph"] == "RGB to BGR, minus 10,20,30, times 0.5"
    with pytest.raises(ExportError, match=r"--mean takes one value, or 3"):
        model_of(source, preprocessing=Preprocessing((1, 2)))


def metadata(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def test_a_part_of_a_net_ends_with_the_blob() -> None:
    source = source_of(until=("one", "conv"))
    model = model_of(source)
    assert [info.name for info in model.graph.output] == ["one", "conv"]
    assert "two" not in names(model)
    check(source.net, model, {"data": IMAGE})
    with pytest.raises(UnknownNameError, match=r'no blob "conf". Did you mean "conv"'):
        source_of(until=("conf",))


def test_an_input_that_no_layer_reads_stays_one() -> None:
    text = NET.replace('top: "data" input', 'top: "data" top: "label" input')
    model = model_of(source_of(text))
    assert [info.name for info in model.graph.input] == ["data", "label"]
    assert [info.name for info in model.graph.output] == ["prob"]


def test_all_that_cannot_go_out_is_told_at_once(tmp_path: Path) -> None:
    filled = 'dummy_data_param { shape { dim: 1 } data_filler { type: "gaussian" } }'
    drawn = f'layer {{ name: "NAME" type: "DummyData" top: "NAME" {filled} }}\n'
    path = tmp_path / "net.prototxt"
    path.write_text(NET + drawn.replace("NAME", "first") + drawn.replace("NAME", "second"))
    with pytest.raises(RefusedError) as caught:
        export(path)
    assert [refusal.layer for refusal in caught.value.refusals] == ["first", "second"]
    line = NET.count("\n") + 1
    assert f'{path}:{line + 1}: layer "second" (DummyData): its values are drawn anew' in str(caught.value)
    assert "--until" in str(caught.value)


def test_a_domain_of_ones_own_takes_what_cannot_go_out() -> None:
    text = NET + (
        'layer { name: "drawn" type: "DummyData" top: "drawn" '
        'dummy_data_param { shape { dim: 1 } data_filler { type: "gaussian" } } }'
    )
    model = model_of(source_of(text), custom="mine")
    node = next(node for node in model.graph.node if node.domain == "mine")
    assert (node.op_type, list(node.output)) == ("DummyData", ["drawn"])
    assert 'type: "gaussian"' in node.attribute[0].s.decode()


def test_phase_train_is_refused() -> None:
    text = NET.replace('name: "drop" type: "Dropout"', 'name: "drop" type: "Dropout" phase: TRAIN')
    with pytest.raises(RefusedError, match="phase: TRAIN"):
        model_of(source_of(text))


def test_a_net_that_is_there_goes_out_with_its_values() -> None:
    net = source_of().net
    net.blobs["data"].reshape(1, 3, 9, 9)
    net.reshape()
    model = export(net)
    assert shapes(model)["prob"] == ["batch", 2, 7, 7]
    check(net, model, {"data": np.resize(IMAGE, (1, 3, 9, 9))})


def test_a_fused_net_goes_out_as_it_is_written() -> None:
    param = parse(NET, caffe_pb2.NetParameter())
    model = export(Net(param, caffe_pb2.TEST))
    assert names(model)[:2] == ["conv", "norm"]


def test_a_training_file_loses_its_data_layers_and_what_needs_labels(tmp_path: Path) -> None:
    path = tmp_path / "train.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST } '
        "transform_param { mean_value: 7 scale: 0.5 crop_size: 9 } }"
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 3 kernel_size: 3 } }"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "loss" }'
    )
    model = export(path)
    assert shapes(model) == {"data": ["batch", 3, 9, 9], "c": ["batch", 3, 7, 7]}
    found = metadata(model)
    assert (found["preprocessing"], found["preprocessing_in_graph"]) == ("minus 7, times 0.5", "none")
    assert found["source_file"] == "train.prototxt"
    assert len(found["sha256 train.prototxt"]) == 64


def test_a_data_layer_that_knows_no_size_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "train.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" }'
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }'
    )
    with pytest.raises(ExportError, match="--shape data=1,3,HEIGHT,WIDTH"):
        export(path)
    assert read_source(path, wishes=Wishes(shapes={"data": (1, 3, 6, 6)})).net.blobs["p"].shape == (1, 3, 5, 5)


def test_a_mean_file_that_is_not_there_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "train.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" '
        'transform_param { mean_file: "nowhere.binaryproto" crop_size: 9 } }'
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }'
    )
    source = read_source(path)
    assert source.warning.startswith("nowhere.binaryproto cannot be read")
    assert "preprocessing" not in metadata(model_of(source))


def test_data_that_a_rule_leaves_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "data" transform_param { crop_size: 9 } '
        'include { phase: TEST stage: "big" } }'
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    )
    with pytest.raises(GraphError, match=r'Layer "d" makes "data", but its include rule'):
        read_source(path)
    assert read_source(path, wishes=Wishes(stages=("big",))).outputs == ("r",)


def test_an_input_without_a_shape_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "in" type: "Input" top: "data" } layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    )
    with pytest.raises(ExportError, match=r'input "data" has no shape\. Say it: --shape data=1'):
        read_source(path)
    assert read_source(path, wishes=Wishes(shapes={"data": (2, 5)})).net.blobs["r"].shape == (2, 5)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [({"datta": (1, 3, 5, 5)}, 'no input "datta"'), ({"data": (3, 5, 5)}, 'input "data" has 4 axes')],
)
def test_shapes_that_do_not_fit(wanted: dict[str, tuple[int, ...]], told: str) -> None:
    with pytest.raises(ExportError, match=told):
        source_of(shapes=wanted)


def test_nothing_that_could_be_an_output() -> None:
    text = NET + 'layer { name: "s" type: "Silence" bottom: "prob" }'
    with pytest.raises(ExportError, match="no blob"):
        model_of(source_of(text))


def test_weights_beyond_what_a_file_holds_lie_beside_it(tmp_path: Path) -> None:
    text = NET.replace("num_output: 4", "num_output: 40")
    source = source_of(text)
    model = model_of(source)
    written = write(model, tmp_path / "net.onnx", most_bytes=1000)
    assert [path.name for path in written] == ["net.onnx.data", "net.onnx"]
    assert (tmp_path / "net.onnx").stat().st_size < (tmp_path / "net.onnx.data").stat().st_size
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    check(source.net, onnx.load(tmp_path / "net.onnx"), {"data": IMAGE})


def test_versions() -> None:
    model = model_of(source_of())
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    newest = onnx.defs.onnx_opset_version()
    assert model_of(source_of(), opset=newest).ir_version > 8
    for opset in (10, newest + 1):
        with pytest.raises(ExportError, match=f"opset must be 11 to {newest}"):
            model_of(source_of(), opset=opset)


IN_PLACE = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "scaled" type: "Power" bottom: "data" top: "data" power_param { scale: 2 shift: 1 } }
layer { name: "cut" type: "ReLU" bottom: "data" top: "data" }
layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" reduction_param { axis: 1 } }
"""


def test_an_input_that_is_written_in_place_keeps_its_name() -> None:
    source = source_of(IN_PLACE)
    model = model_of(source)
    assert [entry.name for entry in model.graph.input] == ["data"]
    check(source.net, model, {"data": IMAGE[:, :, :4, :4]})


def test_a_net_that_ends_with_an_input_written_in_place() -> None:
    model = model_of(source_of(IN_PLACE, until=("data",)))
    (found,) = run(model, {"data": IMAGE[:, :, :4, :4]}).values()
    np.testing.assert_allclose(found, np.maximum(2 * IMAGE[:, :, :4, :4] + 1, 0), rtol=1e-6)
