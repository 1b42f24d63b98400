"""The written source: names, shapes, what is joined, what works in place, and how it is set out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import ExportError
from segcaffe.export.torch.lines import statement
from segcaffe.export.torch.snippets import pieces
from segcaffe.export.torch.writer import Written, write
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

ROOT = Path(__file__).resolve().parents[3]
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } }\n'
CONV = """layer { name: "%s" type: "Convolution" bottom: "%s" top: "%s"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }\n"""


def net_of(text: str, phase: int = caffe_pb2.TEST) -> Net:
    return Net(parse(text, caffe_pb2.NetParameter()), phase=phase)


def forward_of(written: Written) -> str:
    return written.source.partition("def forward(self")[2].partition("\n\n")[0]


def test_a_chain_is_x_and_activations_wrap() -> None:
    relu = 'layer { name: "r" type: "ReLU" bottom: "c1" top: "c1" }\n'
    text = forward_of(write(net_of(INPUT + CONV % ("conv", "data", "c1") + relu + CONV % ("c2", "c1", "c2"))))
    assert text.splitlines()[1:] == [
        "        x = F.relu(self.conv(data), inplace=True)  # c1: (2, 3, 9, 9)",
        "        return self.c2(x)  # (2, 3, 9, 9)",
    ]


def test_in_place_only_where_no_gradient_needs_the_values() -> None:
    layers = "".join(f'layer {{ name: "{t}" type: "{t}" bottom: "c" top: "c" }}\n' for t in ("Sigmoid", "ReLU"))
    assert "inplace" not in write(net_of(INPUT + CONV % ("conv", "data", "c") + layers)).source
    assert "inplace" not in write(net_of(INPUT + 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }')).source


def test_batch_norm_and_scale_are_one_norm() -> None:
    norm = """layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { eps: 1e-4 } }
      layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }"""
    written = write(net_of(INPUT + CONV % ("conv", "data", "c") + norm))
    assert "self.bn = StartingBatchNorm2d(3, eps=0.0001, momentum=0.001)" in written.source
    assert [entry.key for entry in written.entries][2:] == [
        "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked",
    ]  # fmt: skip
    assert "bn(self.conv(data))" in written.source


def test_a_batch_norm_with_statistics_is_torchs() -> None:
    net = net_of(INPUT + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "y" }')
    net.params["bn"][2].data[...] = 999.98
    assert "self.bn = nn.BatchNorm2d(3, momentum=0.001, affine=False)" in write(net).source


NASTY = r"a\"b\n\"\"\"\nimport os #\\ é"
"""As it stands in a prototxt."""


def test_names_stay_names_whatever_they_say() -> None:
    text = INPUT.replace('"data"', f'"{NASTY}"')
    text += (CONV % ("import", NASTY, "lambda") + CONV % ("train", "lambda", "1/2")) + CONV % ("x", "lambda", "torch")
    net = net_of(f'name: "{NASTY}"\n' + text)
    source = write(net).source
    compile(source, "written", "exec")
    assert "\nimport os" not in source
    for line in ("self.import_2 = nn.Conv2d", "self.train_2 = nn.Conv2d", "lambda_2 = self.import_2("):
        assert line in source
    assert '"1/2": ' in source


def test_a_net_called_like_what_is_imported() -> None:
    written = write(net_of('name: "tensor"\n' + INPUT + CONV % ("c", "data", "c")))
    assert written.class_name == "TensorNet"


def test_every_refusal_at_once_with_reasons() -> None:
    layers = """layer { name: "crf" type: "DenseCRF" bottom: "data" bottom: "sizes" top: "crf" }
      layer { name: "parts" type: "ConnectedComponent" bottom: "data" top: "parts" }
      layer { name: "sizes" type: "Input" top: "sizes" input_param { shape { dim: 2 dim: 2 dim: 1 dim: 1 } } }"""
    text = INPUT + "\n".join(reversed(layers.splitlines()))
    with pytest.raises(ExportError, match=r"(?s)2 layers cannot be exported.*ConnectedComponent.*DenseCRF.*--until"):
        write(net_of(text))


def test_what_does_not_learn_and_what_learns_faster() -> None:
    param = "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }\n  convolution_param"
    frozen = CONV.replace("convolution_param", "param { lr_mult: 0 } param { lr_mult: 0 }\n  convolution_param")
    text = INPUT + frozen % ("a", "data", "a") + CONV.replace("convolution_param", param) % ("b", "a", "b")
    source = write(net_of(text, caffe_pb2.TRAIN)).source
    assert "self.a.requires_grad_(False)" in source
    assert '{"params": biases, "lr": 2 * lr, "weight_decay": 0.0}' in source


def test_shared_parameters_are_one_module_or_tied() -> None:
    shared = CONV.replace("convolution_param", 'param { name: "w" } param { name: "b" }\n  convolution_param')
    text = INPUT + shared % ("a", "data", "a") + shared % ("b", "a", "b")
    assert write(net_of(text)).source.count("nn.Conv2d") == 1
    half = CONV.replace("convolution_param", 'param { name: "w" }\n  convolution_param')
    source = write(net_of(INPUT + half % ("a", "data", "a") + half % ("b", "a", "b"))).source
    assert "self.b.weight = self.a.weight" in source
    assert "self.b.bias = " not in source


def test_weighted_losses_have_a_method() -> None:
    loss = """layer { name: "l" type: "EuclideanLoss" bottom: "a" bottom: "data" top: "l" loss_weight: 0.3 }
      layer { name: "m" type: "EuclideanLoss" bottom: "b" bottom: "data" top: "m" }"""
    text = INPUT + CONV % ("a", "data", "a") + CONV % ("b", "data", "b") + loss
    source = write(net_of(text, caffe_pb2.TRAIN)).source
    assert 'return 0.3 * outputs["l"] + outputs["m"]' in source


@pytest.mark.parametrize("long", [
    "x = torch.cat([" + ", ".join(f"some_value_{i}" for i in range(12)) + "], 1)",
    "return {" + ", ".join(f'"some_value_{i}": some_value_{i}' for i in range(6)) + "}",
    "x = F.interpolate(some_value, size=(some_value.shape[2], 24), mode='bilinear', align_corners=True, a=0)",
    "x = some_function(some_value).sum() / (some_value.shape[0] * some_value.shape[2] * some_value.shape[3] * x)",
])  # fmt: skip
def test_long_statements_mean_the_same_when_they_are_broken(long: str) -> None:
    import ast

    lines = statement(long, 12, "a comment")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 120
    assert ast.dump(ast.parse("def f():\n" + "\n".join(f" {line}" for line in lines))) == ast.dump(
        ast.parse(f"def f():\n {long}")
    )


def test_pieces_need_only_pieces_and_what_is_imported() -> None:
    import ast
    import builtins

    from segcaffe.export.torch.snippets import IMPORTED

    for name, piece in pieces().items():
        tree = ast.parse(piece.text)
        made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        made |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | {name}
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - made - set(dir(builtins))
        assert read <= IMPORTED | pieces().keys(), name
        assert "segcaffe" not in piece.text


CONFIGS = ("enet", "segnet", "ssd", "tiny/segaware_crf", "tiny/lenet")


@pytest.mark.parametrize("config", CONFIGS)
def test_ruff_finds_nothing_to_say(config: str, tmp_path: Path) -> None:
    path = ROOT / "configs" / (f"{config}_deploy.prototxt" if "/" in config else f"{config}/deploy.prototxt")
    file = tmp_path / "written.py"
    file.write_text(write(Net(path, phase=caffe_pb2.TEST)).source)
    ruff = [sys.executable, "-m", "ruff"]
    if subprocess.run([*ruff, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("ruff is not installed")
    options = ["--isolated", "--line-length", "120"]
    for command in (["check", "--select", "E,F,W,I,B,UP,SIM,C4"], ["format", "--diff"]):
        done = subprocess.run([*ruff, *command, *options, file], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stdout


def test_constants_of_a_net_need_no_argument() -> None:
    text = """layer { name: "ones" type: "DummyData" top: "ones" dummy_data_param {
      shape { dim: 2 dim: 3 dim: 9 dim: 9 } data_filler { type: "constant" value: 1.5 } } }
      layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "ones" top: "sum" }"""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from segcaffe.export.torch import to_module

    x = torch.ones(2, 3, 9, 9)
    np.testing.assert_array_equal(to_module(net_of(INPUT + text))(x).numpy(), np.full((2, 3, 9, 9), 2.5))


def test_positions_need_no_argument() -> None:
    text = """layer { name: "xy" type: "DummyData" top: "xy" dummy_data_param {
      shape { dim: 2 dim: 2 dim: 3 dim: 5 } data_filler { type: "xy" } } }
      layer { name: "twice" type: "Power" bottom: "xy" top: "twice" power_param { scale: 2 } }"""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from segcaffe.export.torch import to_module

    net = net_of(text)
    expected = net.forward()["twice"]
    np.testing.assert_array_equal(to_module(net)().numpy(), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_masked_convolutions_need_no_columns(fused: bool) -> None:
    net = Net(ROOT / "configs" / "tiny" / "segaware_deploy.prototxt", phase=caffe_pb2.TEST, fuse=fused)
    source = write(net).source
    assert "self.conv3 = MaskedConv2d(32, 48, 3, padding=1)" in source
    assert "repeat" not in source


def test_a_blob_that_is_called_like_a_function_of_the_file() -> None:
    text = """layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
      layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
      layer { name: "copy" type: "Power" bottom: "accuracy" top: "twice" power_param { scale: 2 } }
      layer { name: "more" type: "Power" bottom: "accuracy" top: "more" }"""
    assert "accuracy_2 = accuracy(" in write(net_of(INPUT + text)).source
