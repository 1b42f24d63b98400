"""Options that are not known: all of a file told of at once, or passed over."""

from __future__ import annotations

import logging

import pytest

from segcaffe.cli.main import main
from segcaffe.errors import GraphError, PrototxtError
from segcaffe.lint.run import lint
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2, text
from segcaffe.proto.text import read_net

NET = """layer {
  name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } }
}
layer {
  name: "conv1" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 4 kernal_size: 3 kernel_size: 3 winograd: [ 1, 2 ], engine: TURBO }
  warp_param { steps: "a" 'b' depth { odd: -1.5 ] } }
}
layer {
  name: "conv2" type: "Convolution" bottom: "y" top: "z" speed: FAST;
  convolution_param { num_output: 4 kernel_size: 3 kernal_size: 3 }
}
"""
GOOD = NET.replace("odd: -1.5 ]", "odd: -1.5")


@pytest.fixture
def path(tmp_path):
    def write(source: str) -> str:
        (tmp_path / "net.prototxt").write_text(source)
        return str(tmp_path / "net.prototxt")

    return write


def message(source: str) -> str:
    with pytest.raises(PrototxtError) as caught:
        text.parse(source, caffe_pb2.NetParameter(), "net.prototxt")
    return str(caught.value)


def test_all_are_told_of_at_once() -> None:
    told = message(GOOD.replace(", engine: TURBO", ""))
    assert told == (
        "net.prototxt:7:37: 5 options are not known here. Lines 7, 12: convolution_param.kernal_size (Did you mean "
        '"kernel_size"?); Line 7, in layer "conv1" (Convolution): convolution_param.winograd; Line 8, in layer "conv1" '
        '(Convolution): warp_param; Line 11, in layer "conv2" (Convolution): speed.'
    )


def test_one_is_told_of_as_ever() -> None:
    assert message('layer { name: "a" type: "ReLU" relu_param { slope: 1 } }') == (
        'net.prototxt:1:45: in layer "a" (ReLU), field "relu_param.slope": ReLUParameter has no such field. Received: '
        "`slope`."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("warp_param", ""),
        ("transfrom_param", 'Did you mean "transform_param"?'),
        ("pool_param", ""),
        ("poolin_param", 'Did you mean "pooling_param"?'),
        ("botom", 'Did you mean "bottom"?'),
        ("kernel_size", "The field belongs into convolution_param or pooling_param."),
        ("xyz", ""),
    ],
)
def test_guesses_are_near(name: str, hint: str) -> None:
    told = message(f'layer {{ name: "a" type: "ReLU" {name}: 1 }}')
    assert told.partition(f"Received: `{name}`.")[2].strip() == hint


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("layer { odd 3 }", "LayerParameter has no such field"),
        ("layer { odd: } }", "LayerParameter has no such field"),
        ("layer { odd { a: [ } ] }", "LayerParameter has no such field"),
        ("layer { odd: 3 name: 4 }", "LayerParameter has no such field"),
        ("layer { odd: { a: 3 }", "LayerParameter has no such field"),
        ('layer { name: "a" ] odd: 3 }', "expected the name of a field"),
    ],
)
def test_what_cannot_be_passed_over(source: str, expected: str) -> None:
    assert expected in message(source)


def test_a_tolerant_reader_passes_over_them(path) -> None:
    net = read_net(path(GOOD), tolerant=True)
    assert [layer.name for layer in net.message.layer] == ["in", "conv1", "conv2"]
    assert list(net.message.layer[1].convolution_param.kernel_size) == [3]
    assert [option.place.line for option in net.passed_over] == [7, 7, 7, 8, 11, 12]
    assert not net.message.layer[1].convolution_param.HasField("engine")
    with pytest.raises(PrototxtError):
        read_net(path(NET), tolerant=True)


def test_a_tolerant_net_tells_what_it_passed_over(path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "segcaffe"):
        net = Net(path(GOOD), phase=caffe_pb2.TEST, tolerant=True)
    assert net.blobs["z"].shape == (2, 4, 4, 4)
    assert len(net.passed_over) == 5
    assert "Passed over: Lines 7, 12: convolution_param.kernal_size" in caplog.text
    with pytest.raises(PrototxtError, match="5 options are not known here"):
        Net(path(GOOD.replace(", engine: TURBO", "")), phase=caffe_pb2.TEST)


def test_options_of_forks_that_are_not_built(path) -> None:
    source = NET[: NET.index("layer {", 5)]
    source += 'layer { name: "mvn" type: "MVN" bottom: "x" top: "x" mvn_param { add_eps_before_sqrt: true } }'
    source += ' layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"'
    source += " inner_product_param { num_output: 2 weight_fixed: true engine: MKLDNN } }"
    with pytest.raises(GraphError) as caught:
        Net(path(source), phase=caffe_pb2.TEST)
    told = str(caught.value)
    assert 'layer "mvn" (MVN): mvn_param.add_eps_before_sqrt: true; ' in told
    assert 'layer "fc" (InnerProduct): inner_product_param.weight_fixed: true.' in told
    net = Net(path(source), phase=caffe_pb2.TEST, tolerant=True)
    assert net.passed_over[1] == 'layer "fc" (InnerProduct): inner_product_param.weight_fixed: true not built here'
    checks = [finding.check for finding in lint(path(source), phase=caffe_pb2.TEST).findings]
    assert checks.count("fork-option") == 2


def test_the_command_lists_them(path, capsys) -> None:
    assert main(["net", path(GOOD), "--tolerant"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert 'Passed over: Lines 7, 12: convolution_param.kernal_size (Did you mean "kernel_size"?).' in out
    assert main(["net", path(GOOD)]) == 2


def test_lint_finds_them(path, capsys) -> None:
    report = lint(path(GOOD), tolerant=True)
    found = [finding for finding in report.findings if finding.check == "unknown-option"]
    assert len(found) == 6
    assert found[0].write == 'Did you mean "kernel_size"?'
    assert main(["lint", path(GOOD), "--tolerant"]) == 1
    assert "[unknown-option]" in capsys.readouterr().out


def test_fields_that_one_caffe_repeats() -> None:
    source = 'layer { type: "Pooling" pooling_param { kernel_size: 2 kernel_size: 3 stride: [1, 2] pad: 1 } }'
    net = text.parse(source, caffe_pb2.NetParameter())
    options = net.layer[0].pooling_param
    assert list(options.kernel_size_nd) == [2, 3]
    assert list(options.stride_nd) == [1, 2]
    assert not options.HasField("kernel_size")
    assert options.pad == 1
    assert text.parse(text.write(net), caffe_pb2.NetParameter()) == net
    assert "kernel_size: 2\n    kernel_size: 3\n" in text.write(net)


@pytest.mark.parametrize("source", ["device_id: [2, 3]", "device_id: 2 device_id: 3"])
def test_several_devices(tmp_path, source: str) -> None:
    (tmp_path / "s.prototxt").write_text(f'net: "n" base_lr: 1 {source}')
    solver = text.read_solver(tmp_path / "s.prototxt")
    assert solver.device_id == 2
    assert not solver.device_id_nd
