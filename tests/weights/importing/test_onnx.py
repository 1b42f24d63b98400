"""Initializers of ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import segcaffe as caffe
from segcaffe.cli.main import main
from segcaffe.errors import WeightsError
from segcaffe.weights.importing.load import read
from tests.weights.importing.files import (
    IMAGE,
    conv,
    decided,
    imported,
    inner,
    layer,
    net_of,
    normalized,
    statistics,
    values,
)


def _model(nodes: list[Any], tensors: dict[str, np.ndarray]) -> Any:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers))


def _saved(nodes: list[Any], tensors: dict[str, np.ndarray], folder: Path, **settings: Any) -> Path:
    onnx.save(_model(nodes, tensors), folder / "w.onnx", **settings)
    return folder / "w.onnx"


def test_operators_tell_what_tensors_are(tmp_path: Path) -> None:
    tensors = {"k": values(4, 3, 3, 3), "a": values(4), "s": values(4, 1, 1), "m": values(144, 5), "o": values(5)}
    tensors |= {f"n{i}": array for i, array in enumerate(list(statistics("n", 4).values())[:4])}
    nodes = [
        helper.make_node("Conv", ["x", "k", "a"], ["1"]),
        helper.make_node("BatchNormalization", ["1", "n0", "n1", "n2", "n3"], ["2"]),
        helper.make_node("PRelu", ["2", "s"], ["3"]),
        helper.make_node("Flatten", ["3"], ["4"]),
        helper.make_node("MatMul", ["4", "m"], ["5"]),
        helper.make_node("Add", ["5", "o"], ["y"]),
    ]
    net = net_of(conv("c", "data", 4) + normalized("c", "c") + layer("p", "PReLU", "c") + inner("fc", "p", 5), tmp_path)
    report = imported(net, _saved(nodes, tensors, tmp_path))
    assert {name: tensor for name, (tensor, _) in decided(report).items()} == {
        "c/0": "k", "c/1": "a", "bn_c/0": "n2", "bn_c/1": "n3", "bn_c/2": None, "scale_c/0": "n0", "scale_c/1": "n1",
        "p/0": "s", "fc/0": "m", "fc/1": "o",
    }  # fmt: skip
    assert np.array_equal(net.params["fc"][0].data, tensors["m"].T)


@pytest.mark.parametrize(("op", "trans", "turned"), [("Gemm", 0, True), ("Gemm", 1, False), ("MatMul", None, True)])
def test_square_matrices_are_turned_as_the_operator_says(
    op: str, trans: int | None, turned: bool, tmp_path: Path
) -> None:
    weight = values(192, 192)
    node = helper.make_node(op, ["x", "m"], ["y"], **({} if trans is None else {"transB": trans}))
    net = net_of(inner("fc", "data", 192, "bias_term: false"), tmp_path)
    imported(net, _saved([node], {"m": weight}, tmp_path))
    assert np.array_equal(net.params["fc"][0].data, weight.T if turned else weight)
    through = [helper.make_node("Transpose", ["m"], ["t"], perm=[1, 0]), helper.make_node(op, ["x", "t"], ["y"])]
    imported(net, _saved(through, {"m": weight}, tmp_path))
    assert np.array_equal(net.params["fc"][0].data, weight)


def test_the_order_is_that_of_the_operators(tmp_path: Path) -> None:
    net = net_of(conv("one", "data", 3, 3, "bias_term: false") + conv("two", "one", 3, 3, "bias_term: false"), tmp_path)
    nodes = [helper.make_node("Conv", ["x", "zz"], ["1"]), helper.make_node("Conv", ["1", "aa"], ["y"])]
    file = _saved(nodes, {"aa": values(3, 3, 3, 3), "zz": values(3, 3, 3, 3, seed=1)}, tmp_path)
    assert decided(imported(net, file)) == {"one/0": ("zz", "order"), "two/0": ("aa", "order")}


def test_batch_norms_that_were_folded(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4) + normalized("c", "c"), tmp_path)
    file = _saved(
        [helper.make_node("Conv", ["x", "k", "a"], ["y"])], {"k": values(4, 3, 3, 3), "a": values(4)}, tmp_path
    )
    with pytest.raises(WeightsError, match=r"bn_c and scale_c .*no running means: .*do_constant_folding=False"):
        imported(net, file)


def test_values_beside_the_file(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4, 3, "bias_term: false"), tmp_path)
    nodes, weight = [helper.make_node("Conv", ["x", "k"], ["y"])], values(4, 3, 3, 3)
    file = _saved(nodes, {"k": weight}, tmp_path, save_as_external_data=True, location="w.data", size_threshold=0)
    imported(net, file)
    assert np.array_equal(net.params["c"][0].data, weight)
    (tmp_path / "w.data").unlink()
    with pytest.raises(WeightsError, match=r"w\.data"):
        read(file, {})
    model = onnx.load(file, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../w.data"
    onnx.save(model, file)
    with pytest.raises(WeightsError, match="outside of the model's folder"):
        read(file, {})


def test_other_types_and_shapes(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4, 3, "bias_term: false"), tmp_path)
    nodes = [helper.make_node("Conv", ["x", "k"], ["y"])]
    file = _saved(nodes, {"k": values(4, 3, 3, 3).astype(np.float16)}, tmp_path)
    assert imported(net, file).notes == ("1 tensor of float16: kept exactly, in single precision.",)
    file = _saved(nodes, {"k": (values(4, 3, 3, 3) * 9).astype(np.int8)}, tmp_path)
    with pytest.raises(WeightsError, match="no initializers that operators read"):
        read(file, {})
    model = _model(nodes, {"k": values(4, 3, 3, 3)})
    model.graph.initializer[0].dims[0] = 4000
    onnx.save(model, file)
    with pytest.raises(WeightsError, match='values of "k" do not fit its shape'):
        read(file, {})


LAYERS = (
    conv("c/1", "data", 4, 3, "pad: 1")
    + normalized("c", "c/1")
    + layer("p", "PReLU", "c/1")
    + layer("g", "Convolution", "p", "convolution_param { num_output: 4 kernel_size: 3 group: 2 }")
    + layer("up", "Deconvolution", "g", "convolution_param { num_output: 2 kernel_size: 4 stride: 2 }")
    + layer("bias", "Bias", "up")
    + layer("norm", "Normalize", "bias", "norm_param { across_spatial: false }")
    + layer("bn", "BN", "norm", "bn_param { eps: 0.00001 }")
    + inner("t", "bn", 5, "transpose: true")
    + inner("fc", "t", 5)
)


@pytest.mark.parametrize(("target", "weights"), [("net.onnx", "net.onnx"), ("net.py", "net.safetensors")])
def test_what_segcaffe_exports_comes_back_bit_for_bit(target: str, weights: str, tmp_path: Path) -> None:
    net = net_of(LAYERS, tmp_path)
    for seed, (name, blobs) in enumerate(net.params.items()):
        for index, blob in enumerate(blobs):
            blob.data[...] = np.abs(values(*blob.shape, seed=31 * seed + index)) + 0.1
        if net.layer_dict[name].type == "BatchNorm":
            blobs[2].data[...] = 1
    files = [str(tmp_path / name) for name in ("net.prototxt", "net.caffemodel", target, "back.caffemodel")]
    net.save(files[1])
    assert main(["export", *files[:3], "--no-check"]) == 0
    assert main(["weights", "import", files[0], str(tmp_path / weights), files[3]]) == 0
    back = caffe.Net(files[0], caffe.TEST, weights=files[3])
    for name, blobs in net.params.items():
        for mine, theirs in zip(back.params[name], blobs, strict=True):
            assert mine.data.tobytes() == theirs.data.tobytes(), name
    assert IMAGE in Path(files[0]).read_text()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    file = _saved([helper.make_node("Conv", ["x", "k"], ["y"])], {"k": values(4, 3, 3, 3)}, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"k", b"\xff"))
    with pytest.raises(WeightsError, match=r"w\.onnx"):
        read(file, {})


def test_quantized_initializers_are_told_of(tmp_path: Path) -> None:
    net = net_of(conv("c", "data", 4, 3, "bias_term: false"), tmp_path)
    tensors = {"k": values(4, 3, 3, 3), "q": np.ones((4, 4), np.int8)}
    file = _saved([helper.make_node("Conv", ["x", "k"], ["y"])], tensors, tmp_path)
    assert imported(net, file).unused == {"q": "eight bits, quantized: give the model before it was quantized"}
