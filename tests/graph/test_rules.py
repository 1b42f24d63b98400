"""Which layers a net has: phase, level and stages against include and exclude rules."""

from __future__ import annotations

import pytest

from segcaffe.errors import GraphError
from segcaffe.graph.rules import includes, net_state
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, TRAIN, LayerParameter, NetParameter
from segcaffe.proto.text import parse


@pytest.mark.parametrize(
    ("rules", "included"),
    [
        ("", True),
        ("include { phase: TRAIN }", True),
        ("include { phase: TEST }", False),
        ("exclude { phase: TRAIN }", False),
        ("exclude { phase: TEST }", True),
        ("include { }", True),
        ("exclude { }", False),
        ("include { min_level: 2 }", True),
        ("include { min_level: 3 }", False),
        ("include { max_level: 2 }", True),
        ("include { max_level: 1 }", False),
        ("include { max_level: -1 }", False),
        ('include { stage: "a" }', True),
        ('include { stage: "a" stage: "b" }', True),
        ('include { stage: "a" stage: "c" }', False),
        ('include { stage: "c" } include { stage: "b" }', True),
        ('include { not_stage: "c" }', True),
        ('include { not_stage: "c" not_stage: "a" }', False),
        ('exclude { stage: "c" } exclude { not_stage: "c" }', False),
        ('exclude { stage: "a" not_stage: "b" }', True),
        ('include { phase: TRAIN min_level: 1 max_level: 2 stage: "b" not_stage: "c" }', True),
    ],
)
def test_rules_in_phase_train_level_2_stages_a_b(rules: str, included: bool) -> None:
    layer = parse(f'name: "x" type: "ReLU" {rules}', LayerParameter())
    assert includes(layer, net_state(TRAIN, 2, ["a", "b"])) is included


def test_both_kinds_of_rules_are_refused() -> None:
    layer = parse('name: "x" type: "ReLU" include { } exclude { }', LayerParameter())
    with pytest.raises(GraphError, match=r'layer "x" \(ReLU\): has both include and exclude rules'):
        includes(layer, net_state(TEST))


def test_stages_of_the_file_count_besides_those_asked_for() -> None:
    text = 'state { stage: "file" } ' + "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: 1 }} }} {rules} }} '
        for name, rules in (
            ("file", 'include { stage: "file" }'),
            ("asked", 'include { stage: "asked" }'),
            ("neither", 'include { not_stage: "file" }'),
        )
    )
    net = parse(text, NetParameter())
    assert Net(net, phase=TEST).layer_names == ["file"]
    assert Net(net, phase=TEST, stages=["asked"]).layer_names == ["file", "asked"]


def test_a_layer_keeps_the_phase_it_is_given() -> None:
    text = (
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 8 } data_filler { value: 1 } } } '
        'layer { name: "drop" type: "Dropout" bottom: "d" top: "e" phase: TEST } '
    )
    net = Net(parse(text, NetParameter()), phase=TRAIN)
    net.forward()
    assert net.blobs["e"].data.tolist() == [1.0] * 8
