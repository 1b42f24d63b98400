"""Errors say which layer they are about and where it stands in its file, in attributes that programs can read."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from segcaffe.errors import Place, SegcaffeError
from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import parse, read_net

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
LINES = {
    "option": 'layer { name: "bad" type: "InnerProduct" bottom: "x" top: "y" }',
    "unknown type": 'layer { name: "bad" type: "Nonsense" bottom: "x" top: "y" }',
    "bottom nobody makes": 'layer { name: "bad" type: "ReLU" bottom: "z" top: "y" }',
    "both rules": 'layer { name: "bad" type: "ReLU" bottom: "x" top: "y" include {} exclude {} }',
    "number of bottoms": 'layer { name: "bad" type: "ReLU" bottom: "x" bottom: "x" top: "y" }',
    "loss weights": 'layer { name: "bad" type: "ReLU" bottom: "x" top: "y" loss_weight: 1 loss_weight: 2 }',
    "propagate_down": 'layer { name: "bad" type: "ReLU" bottom: "x" top: "y" propagate_down: [true, true] }',
    "param entries": 'layer { name: "bad" type: "ReLU" bottom: "x" top: "y" param {} }',
}
TWICE = 'layer { name: "a" type: "ReLU" bottom: "x" top: "y" }\nlayer { name: "bad" type: "ReLU" bottom: "x" top: "y" }'


def _caught(build: Callable[[], object]) -> SegcaffeError:
    with pytest.raises(SegcaffeError) as caught:
        build()
    return caught.value


@pytest.mark.parametrize("kind", LINES)
def test_a_net_that_cannot_be_built(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f"{INPUT}# a comment\n{LINES[kind]}")
    error = _caught(lambda: Net(str(path), TEST))
    assert error.layer == "bad"
    assert error.place == Place(str(path), 3)
    assert str(error) == f"{path}:3: {error.text()}"
    assert error.text().startswith('layer "bad"')


def test_a_top_made_twice(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + TWICE)
    error = _caught(lambda: Net(str(path), TEST))
    assert (error.layer, error.place) == ("bad", (str(path), 3, 0))


@pytest.mark.parametrize(("phase", "line"), [(TRAIN, 2), (TEST, 3)])
def test_layers_named_alike_have_places_of_their_own(phase: int, line: int, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    bad = 'layer { name: "bad" type: "InnerProduct" bottom: "x" top: "y" include { phase: PHASE } }\n'
    path.write_text(INPUT + bad.replace("PHASE", "TRAIN") + bad.replace("PHASE", "TEST"))
    assert _caught(lambda: Net(str(path), phase)).place == (str(path), line, 0)


def test_a_pass_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        INPUT
        + 'layer { name: "split" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }'
    )
    net = Net(str(path), TEST)
    net.blobs["x"].reshape(2, 1)
    for run in (net.forward, net.reshape):
        error = _caught(run)
        assert (error.layer, error.place) == ("split", (str(path), 2, 0))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_too_little_memory(direction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true\n" + INPUT + 'layer { name: "big" type: "Power" bottom: "x" top: "y" }')
    net = Net(str(path), TEST)

    def fail(*_: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(net.layer_list[1], direction, fail)
    error = _caught(getattr(net, direction))
    assert (error.layer, error.place) == ("big", (str(path), 3, 0))


def test_a_mistake_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer {\n  name: "bad"\n  tip: "ReLU"\n}')
    error = _caught(lambda: read_net(path))
    assert (error.layer, error.place) == ("bad", (str(path), 3, 3))
    assert str(error).startswith(f"{path}:3:3: in layer")


def test_a_net_that_comes_from_no_file_has_no_places() -> None:
    net = parse(INPUT + TWICE, NetParameter())
    error = _caught(lambda: build_graph(PlacedNet.of(net), net_state(TEST)))
    assert (error.layer, error.place) == ("bad", None)
    assert str(error) == error.text()


def test_splits_stand_where_the_layer_of_their_blob_does(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    relu = 'layer { name: "NAME" type: "ReLU" bottom: "x" top: "NAME" }\n'
    path.write_text(INPUT + relu.replace("NAME", "a") + relu.replace("NAME", "b"))
    graph = build_graph(read_net(path), net_state(TEST))
    assert [(node.name, node.place.line if node.place else 0) for node in graph.nodes] == [
        ("in", 1),
        ("x_in_0_split", 1),
        ("a", 2),
        ("b", 3),
    ]


def test_copies_of_an_error_keep_its_place() -> None:
    error = SegcaffeError("It is wrong.", layer="bad", place=Place("net.prototxt", 3, 7))
    for one in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(one) == "net.prototxt:3:7: It is wrong."
        assert one.layer == "bad"


def test_what_is_known_of_an_error_is_not_overwritten() -> None:
    error = SegcaffeError("It is wrong.", layer="inner", place=Place("inner.prototxt", 1))
    error.about("outer", Place("outer.prototxt", 2))
    assert (error.layer, error.place) == ("inner", ("inner.prototxt", 1, 0))
