"""Binary nets of the forks: read by their own numbers, found out, written back byte for byte."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from segcaffe.proto import numbers, text, wire
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.dialect import FAMILIES, decode_net, encode_net

ROWS = list(csv.DictReader(Path(numbers.__file__).with_name("numbers.csv").read_text(encoding="utf-8").splitlines()))
# Layers as the forks write them: what tells the fork, and what its number would be taken for.
LAYERS = [
    (
        "ssd",
        'type: "AnnotatedData" transform_param { mirror: true resize_param { width: 300 } noise_param { prob: 1 } }',
    ),
    ("ssd", 'type: "AnnotatedData" transform_param { emit_constraint { emit_type: MIN_OVERLAP } }'),
    ("nvidia", 'type: "Convolution" forward_type: FLOAT16 backward_type: FLOAT forward_math: FLOAT16 debug: true'),
    ("intel", 'type: "ROIPooling" roi_pooling_param { pooled_h: 6 spatial_scale: 0.5 } engine: "MKLDNN"'),
    ("enet", 'type: "Upsample" upsample_param { scale: 2 }'),
    ("segnet", 'type: "Upsample" upsample_param { scale: 2 upsample_w: 480 }'),
    ("pspnet", 'type: "BN" bn_param { frozen: true } '),
    ("rfcn", 'type: "PSROIPooling" psroi_pooling_param { spatial_scale: 0.1 output_dim: 21 group_size: 7 }'),
    ("rfcn-microsoft", 'type: "PSROIPooling" psroi_pooling_param { spatial_scale: 0.1 output_dim: 21 group_size: 7 }'),
    ("greentea", 'type: "Pooling" pooling_param { kernel_size_nd: [2, 2, 1] stride_nd: [2, 2, 1] }'),
    ("greentea", 'type: "MergeCrop" mergecrop_param { forward: [1, 1] backward: [1, 0] }'),
    ("yolo-v2", 'type: "Reorg" reorg_param { stride: 2 }'),
    ("caffe-lstm", 'type: "Lstm" lstm_param { num_output: 4 clipping_threshold: 0.5 }'),
]


@pytest.mark.parametrize(("dialect", "layer"), LAYERS)
def test_a_layer_reveals_its_fork(dialect, layer):
    net = text.parse(f'name: "n" layer {{ name: "x" {layer} }}', NetParameter())
    data = encode_net(net, dialect)
    assert data != encode_net(net)
    found, name = decode_net(data)
    assert found == net
    assert name not in FAMILIES
    assert encode_net(found, name) == data


@pytest.mark.parametrize(("dialect", "layer"), LAYERS)
def test_a_fork_reads_its_own_numbers_as_ours_were_written(dialect, layer):
    net = text.parse(f'name: "n" layer {{ name: "x" {layer} }}', NetParameter())
    for name in (dialect, "bvlc", "deeplab"):
        assert decode_net(encode_net(net, name), name)[0] == net


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['message']}.{row['field']}")
def test_every_row_is_a_number_of_the_schema(row):
    kind = numbers.descriptor(row["message"])
    name, _, value = row["field"].partition("=")
    field = kind.fields_by_name[name]
    for dialect in row["dialects"].split():
        assert dialect in numbers.FORKS
        table = numbers.dialect(dialect)
        if value:
            own = field.enum_type.values_by_name[value].number
            assert table.values_read[f"{row['message']}.{name}"][int(row["number"])] == own
        else:
            assert table.number_read(kind, None, int(row["number"])) == field.number
            assert table.number_written(kind, None, field.number) == int(row["number"])


@pytest.mark.parametrize("name", numbers.DIALECTS)
def test_no_two_fields_share_a_number(name):
    table = numbers.dialect(name)
    for message in table.reading:
        kind = numbers.descriptor(message)
        written = [table.number_written(kind, None, field.number) for field in kind.fields]
        assert len(set(written)) == len(written)


def test_enum_values_have_the_numbers_of_the_fork():
    net = text.parse('layer { type: "SoftmaxWithLoss" loss_param { normalization: NONE } }', NetParameter())
    data = encode_net(net, "intel")
    assert data.endswith(b"\x18\x04")
    assert decode_net(data, "intel")[0] == net


def test_where_forks_disagree_nothing_is_guessed():
    """Softmax's number 3, a float, is one thing to DeepDetect and another to happynear."""
    option = wire.tag(3, wire.FIXED32) + b"\x00\x00\x00\x3f"
    layer = LayerParameter(name="s", type="Softmax").SerializeToString()
    layer += wire.tag(125, wire.LENGTH) + wire.write_varint(len(option)) + option
    data = wire.tag(100, wire.LENGTH) + wire.write_varint(len(layer)) + layer
    net, dialect = decode_net(data)
    assert dialect == "bvlc"
    assert [field.name for field, _ in net.layer[0].softmax_param.ListFields()] == []
    assert encode_net(net, dialect) == data


def test_fields_of_a_message_come_in_the_order_of_their_numbers():
    source = "transform_param { mirror: true crop_size: 9 resize_param { width: 300 } distort_param { hue_prob: 1 } }"
    net = text.parse(f'layer {{ type: "AnnotatedData" {source} }}', NetParameter())
    data = encode_net(net, "ssd")
    layer = next(iter(wire.fields(data)))
    option = [field for field in wire.fields(data, layer.start, layer.end) if field.number == 100]
    assert [field.number for field in wire.fields(data, option[0].start, option[0].end)] == [2, 3, 8, 13]
