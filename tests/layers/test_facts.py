"""What a class tells of its type is true, and is all that the rest of the program needs to know of a new one."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.cases
from segcaffe import NetSpec
from segcaffe.cli.main import main
from segcaffe.layers import layer_class, layer_types, registry
from segcaffe.layers.base import Layer
from segcaffe.lint.run import lint
from segcaffe.lint.subject import parameter_count
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, LayerParameter
from segcaffe.proto.text import parse
from segcaffe.pycaffe import draw
from segcaffe.pycaffe.coord_map import coord_map_from_to
from segcaffe.pycaffe.net_spec import layers as L  # noqa: N812
from segcaffe.testing import LayerCase
from tests.conftest import ROOT

GAIN = '''
"""A layer that nothing in segcaffe knows of."""
from segcaffe.layers.base import NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2

@register
class Gain(NeuronLayer):
    """y = gain * x, one gain for all.

    bottom: x;  top: the same shape;  param blob: gain ().
    """

    options_field = "scale_param"
    label_options = ""
    draw_color = "#123456"

    @classmethod
    def parameter_count(cls, param, bottoms):
        """The gain."""
        return 1

    def setup(self, bottom, top):
        """Make the gain."""
        self.add_parameter((), self.param.scale_param.filler)

    def forward(self, bottom, top):
        """Multiply."""
        self.xp.multiply(bottom[0].array, self.blobs[0].array, out=top[0].array)

    def backward(self, top, propagate_down, bottom):
        """Multiply back."""
        self.blobs[0].grad[...] += (top[0].grad * bottom[0].array).sum()
        if propagate_down[0]:
            self.xp.multiply(top[0].grad, self.blobs[0].array, out=bottom[0].grad)
'''
FILLER = 'filler { type: "constant" value: 2 }'
NET = f"""layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "gain" type: "Gain" bottom: "data" top: "gain" param {{ lr_mult: 0 }} scale_param {{ {FILLER} }} }}
"""


@pytest.fixture
def gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Layer]]:
    """A registered type in a package of its own, with a case."""
    layer_types()
    package = tmp_path / "temporary_layers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "gain.py").write_text(GAIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    cases = [*tests.cases.all_cases(), LayerCase("Gain", f"scale_param {{ {FILLER} }}")]
    monkeypatch.setattr(tests.cases, "all_cases", lambda: cases)
    try:
        __import__("temporary_layers.gain")
        yield layer_class("Gain")
    finally:
        for name in ("temporary_layers.gain", "temporary_layers"):
            sys.modules.pop(name, None)


def test_a_new_type_is_in_the_documents(gain: type[Layer]) -> None:
    page: str = runpy.run_path(str(ROOT / "tools" / "make_docs.py"))["pages"]()["layers.md"]
    section = page[page.index("## temporary_layers") :]
    section = section[: section.index("\n## ")]
    assert "### Gain\n\ny = gain * x, one gain for all." in section
    assert "- source: `temporary_layers/gain.py`" in section
    assert "| bias_term | bool | false |" in section
    assert "parameters: none" not in section


def test_a_new_type_is_looked_over(gain: type[Layer], tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET + NET.splitlines()[1].replace('top: "gain"', 'top: "again"'))
    checks = {finding.check for finding in lint(path, phase=TRAIN).findings}
    assert checks == {"nothing-learns", "same-name"}


def test_a_new_type_is_drawn_described_and_built(
    gain: type[Layer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw.choose_color_by_layertype("Gain") == "#123456"
    n = NetSpec()
    n.data = L.Input(shape={"dim": [2, 3]})
    n.gain = L.Gain(n.data, filler={"type": "constant", "value": 2})
    assert n.to_proto().layer[1].scale_param.filler.value == 2
    assert coord_map_from_to(n.gain, n.data)[0] is None
    assert b"#123456" in draw.draw_net(n.to_proto(), "TB", "svg")
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    assert main(["net", str(path), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["layers"][1]
    assert (row["type"], row["params"]) == ("Gain", 1)
    net = Net(str(path), TEST)
    net.blobs["data"].data[...] = 3
    assert (net.forward()["gain"] == 6).all()


def test_a_new_type_has_a_row_among_the_benchmarks(gain: type[Layer], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from benchmarks import layer_cases

    monkeypatch.setattr(layer_cases, "all_cases", tests.cases.all_cases)
    assert [bench.name for bench in layer_cases.benches() if bench.case.type == "Gain"] == ["Gain"]
    assert "Gain" not in layer_cases.left_out()


@pytest.mark.parametrize("case", tests.cases.all_cases(), ids=lambda case: case.id)
def test_number_of_parameters(case: LayerCase) -> None:
    layer, bottom, _ = case.build()
    if case.type != "Python":
        assert type(layer).parameter_count(layer.param, len(bottom)) == len(layer.blobs)


@pytest.mark.parametrize(("type_name", "count"), [("LSTM", 3), ("RNN", 5)])
@pytest.mark.parametrize("static", [0, 1])
@pytest.mark.parametrize("exposed", [False, True])
def test_number_of_parameters_of_recurrent_layers(type_name: str, count: int, static: int, exposed: bool) -> None:
    layer = LayerParameter(type=type_name)
    parse(f"recurrent_param {{ num_output: 4 expose_hidden: {str(exposed).lower()} }}", layer)
    states = {"LSTM": 2, "RNN": 1}[type_name] if exposed else 0
    layer.bottom.extend(f"b{i}" for i in range(2 + static + states))
    assert parameter_count(layer) == count + static


@pytest.mark.parametrize("name", layer_types())
def test_the_options_that_the_code_reads_are_told(name: str) -> None:
    cls = layer_class(name)
    read: set[str] = set()
    for base in cls.__mro__:
        if issubclass(base, Layer) and base is not Layer:
            read.update(re.findall(r"param\.(\w+_param)\b", inspect.getsource(base)))
    fields = LayerParameter.DESCRIPTOR.fields_by_name
    assert {option for option in read if option in fields} <= set(cls.option_fields()) <= set(fields)
    assert cls.label_options in ("", *cls.option_fields())


@pytest.mark.parametrize("name", layer_types())
def test_a_type_is_found_by_the_name_of_its_file(name: str) -> None:
    assert registry._modules()[name.lower()] == layer_class(name).__module__


def test_asking_for_a_type_imports_no_others() -> None:
    ask = "from segcaffe.layers.registry import find_class; import sys; find_class('ReLU'); print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in imported if name.startswith("segcaffe.layers.") and name.count(".") == 3} <= {
        "segcaffe.layers.neuron.relu",
        "segcaffe.layers.neuron.base",
    }


@pytest.mark.parametrize("case", [case for case in tests.cases.all_cases() if layer_class(case.type).keeps_channels])
def test_channels_are_kept_where_that_is_said(case: LayerCase) -> None:
    _, bottom, top = case.build()
    assert top[0].shape[1:2] == bottom[0].shape[1:2]
