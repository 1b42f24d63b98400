"""Binary nets: the wire walker, the four dialects, hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.errors import WeightsError
from segcaffe.layers import layer_class
from segcaffe.proto import text, wire
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.dialect import DIALECTS, FAMILIES, decode_net, encode_net
from segcaffe.proto.numbers import OF_FAMILIES

# One layer per option, each with a value in it, so that a wrong number cannot decode by chance.
EVERY_OPTION = """
layer { name: "in" type: "Input" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "crop" type: "Crop" crop_param { axis: 1 offset: 3 } }
layer { name: "parameter" type: "Parameter" parameter_param { shape { dim: 2 } } }
layer { name: "lstm" type: "LSTM" recurrent_param { num_output: 4 } }
layer { name: "swish" type: "Swish" swish_param { beta: 2 } }
layer { name: "clip" type: "Clip" clip_param { min: -1 max: 1 } }
layer { name: "bias_channel" type: "BiasChannel" bias_channel_param { fg_bias: 3 label_type: PIXEL } }
layer { name: "unique" type: "UniqueLabel" unique_label_param { max_labels: 5 } }
layer { name: "mat_read" type: "MatRead" mat_read_param { prefix: "p" batch_size: 2 } }
layer { name: "reduce" type: "ChannelReduce" channel_reduce_param { num_channels: 3 operation: SUM } }
layer { name: "dist_loss" type: "DistLoss" dist_loss_param { alpha: 0.5 beta: 2 } }
layer { name: "im2dist" type: "Im2dist" im2dist_param { norm: L1 remove_bounds: true } }
layer { name: "im2parity" type: "Im2parity" im2parity_param { ignore_label: 255 } }
layer { name: "norm_conv" type: "NormConv" norm_conv_param { norm: L1 scale_term: false } }
layer { name: "meanfield" type: "NormConvMeanfield" norm_conv_meanfield_param { num_iterations: 3 pad: [4, 1] } }
layer { name: "interp" type: "Interp" interp_param { height: 41 width: 41 } }
layer { name: "accuracy" type: "SegAccuracy" seg_accuracy_param { metric: PixelIOU } }
layer { name: "mat_write" type: "MatWrite" mat_write_param { prefix: "p" source: "s" period: 2 } }
layer { name: "crf" type: "DenseCRF" dense_crf_param { max_iter: 3 pos_w: 2 } }
layer { name: "transform" type: "DomainTransform" domain_transform_param { spatial_sigma: 5 } }
layer { name: "adaptive" type: "AdaptiveBiasChannel" adaptive_bias_channel_param { num_iter: 3 bg_portion: 0.1 } }
layer { name: "four" type: "FourImageData" four_image_data_param { third_is_color: true } }
layer { name: "two" type: "TwoImageData" two_image_data_param { second_is_color: true } }
layer { name: "replicate" type: "Replicate" replicate_param { num_copies: 3 } }
layer { name: "crf_rnn" type: "MultiStageMeanfield" multi_stage_meanfield_param { theta_alpha: 3 } }
"""


def net(source):
    return text.parse(source, NetParameter())


def on_wire(layer, payload_number, payload):
    """Bytes of a net with one layer and one option under a number of our choice."""
    body = layer.SerializeToString() + wire.tag(payload_number, wire.LENGTH) + wire.write_varint(len(payload)) + payload
    return wire.tag(100, wire.LENGTH) + wire.write_varint(len(body)) + body


def option_numbers(data):
    """The field numbers from 143 on in each layer of a net."""
    return [
        [inner.number for inner in wire.fields(data, layer.start, layer.end) if inner.number >= 143]
        for layer in wire.fields(data)
    ]


def test_every_colliding_option_has_a_case():
    layers = net(EVERY_OPTION).layer
    options = [field.name for layer in layers for field, _ in layer.ListFields() if field.number > 7]
    assert sorted(options) == sorted(OF_FAMILIES)
    assert options == [layer_class(layer.type).options_field for layer in layers]


@pytest.mark.parametrize("dialect", FAMILIES)
def test_round_trip(dialect):
    original = net(EVERY_OPTION)
    data = encode_net(original, dialect)
    assert decode_net(data, dialect) == (original, dialect)
    assert decode_net(data) == (original, dialect)


@pytest.mark.parametrize(
    ("layer", "numbers"),
    [
        ('type: "Interp" interp_param { zoom_factor: 2 }', (5143, 149, 143, 153)),
        ('type: "Input" input_param { shape { dim: 3 } }', (143, 143, 7143, 143)),
        ('type: "Im2dist" im2dist_param { norm: L1 }', (154, 145, 154, 7154)),
        ('type: "Crop" crop_param { offset: 2 }', (144, 154, 7144, 144)),
        ('type: "DistLoss" dist_loss_param { alpha: 2 }', (153, 147, 153, 7153)),
        ('type: "SegAccuracy" seg_accuracy_param { reset: false }', (5144, 5144, 144, 154)),
        ('type: "Replicate" replicate_param { num_copies: 2 }', (6152, 152, 6152, 6152)),
        ('type: "NormConv" norm_conv_param { norm: L1 }', (156, 153, 156, 7156)),
        ('type: "L1Loss" l1_loss_param { epsilon: 2 }', (3001, 3001, 3001, 3001)),
        ('type: "ReLU" deletebottom: true', (69696, 69696, 69696, 69696)),
    ],
)
def test_numbers_on_the_wire(layer, numbers):
    original = net(f"layer {{ {layer} }}")
    for dialect, number in zip(FAMILIES, numbers, strict=True):
        data = encode_net(original, dialect)
        assert option_numbers(data) == [[number]], dialect
        assert decode_net(data, dialect)[0] == original


@pytest.mark.parametrize(
    ("layer", "dialect"),
    [
        ('type: "Interp" interp_param { shrink_factor: 2 }', "v1"),
        ('type: "Interp" interp_param { shrink_factor: 2 }', "v2"),
        ('type: "Interp" interp_param { shrink_factor: 2 }', "deeplab"),
        ('type: "Im2dist" im2dist_param { }', "v1"),
        ('type: "Im2parity" im2parity_param { ignore_label: 0 }', "v1"),
        ('type: "DistLoss" dist_loss_param { alpha: 1 beta: 2 }', "v1"),
        ('type: "TwoImageData" two_image_data_param { }', "v1"),
        ('type: "MatWrite" mat_write_param { prefix: "x" }', "v1"),
        ('type: "MatWrite" mat_write_param { prefix: "x" }', "v2"),
        ('type: "MatWrite" mat_write_param { prefix: "x" }', "deeplab"),
        ('type: "DenseCRF" dense_crf_param { max_iter: 1 }', "v2"),
        ('type: "DenseCRF" dense_crf_param { max_iter: 1 }', "deeplab"),
        ('type: "Swish" swish_param { beta: 1 }', "bvlc"),
        ('type: "Input" input_param { }', "bvlc"),
    ],
)
def test_one_layer_reveals_the_dialect(layer, dialect):
    assert decode_net(encode_net(net(f"layer {{ {layer} }}"), dialect))[1] == dialect


def test_a_net_without_colliding_options_is_bvlc():
    assert decode_net(net('layer { type: "ReLU" } layer { type: "Convolution" }').SerializeToString())[1] == "bvlc"


def test_bvlc_bytes_pass_as_they_are():
    original = net(EVERY_OPTION)
    assert encode_net(original) == original.SerializeToString()


def test_weights_and_order_survive_renumbering():
    source = 'layer { name: "a" type: "Interp" interp_param { height: 3 } blobs { data: [1, 2, 3] shape { dim: 3 } } }'
    original = net('name: "n" ' + source + ' layer { name: "b" } ' + source)
    assert decode_net(encode_net(original, "v2"))[0] == original


def test_unknown_fields_survive():
    data = on_wire(LayerParameter(name="a", type="Interp"), 2000, b"secret") + wire.tag(2001, wire.VARINT) + b"\x05"
    for dialect in DIALECTS:
        again = encode_net(decode_net(data, dialect)[0], dialect)
        assert b"secret" in again
        assert again.endswith(wire.tag(2001, wire.VARINT) + b"\x05")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bytes_that_the_dialect_does_not_explain_survive(dialect):
    data = on_wire(LayerParameter(name="a", type="Custom"), 147, b"\x0f\xff not a message")
    decoded, _ = decode_net(data, dialect)
    assert [field.name for field, _ in decoded.layer[0].ListFields()] == ["name", "type"]
    assert encode_net(decoded, dialect) == data


def test_numbers_unknown_to_a_dialect_survive():
    data = on_wire(LayerParameter(type="Custom"), 157, b"\x08\x03")
    assert encode_net(decode_net(data, "v1")[0], "v1") == data
    assert not decode_net(data, "v1")[0].layer[0].HasField("norm_conv_meanfield_param")


def test_an_old_net_decodes():
    old = net('layers { name: "a" type: CONVOLUTION blobs { data: 1 } }')
    assert decode_net(old.SerializeToString()) == (old, "bvlc")


# Errors.


def failure(data, dialect=None):
    with pytest.raises(WeightsError) as caught:
        decode_net(data, dialect, "x.caffemodel")
    return str(caught.value)


NO_NET = "x.caffemodel: the file is no binary net (.caffemodel), or it is damaged: "


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "x.caffemodel: the file is empty; expected a binary net (.caffemodel)."),
        (
            b"\x89HDF\r\n\x1a\n...",
            "x.caffemodel: expected a binary net (.caffemodel). Received: an HDF5 file.",
        ),
        (
            b"\xa2\x06\x80\x80\x80\x80\x07\x01",
            f"{NO_NET}the field 100 at byte 0 claims to go on to byte 1879048199, but its message ends at byte 8. "
            "Received: 8 bytes. Copy or download it again.",
        ),
        (
            b"\xa2\x06\x03\x0a\x7fa",
            f"{NO_NET}the field 1 at byte 3 claims to go on to byte 132, but its message ends at byte 6. "
            "Received: 6 bytes. Copy or download it again.",
        ),
        (
            b"\x80",
            f"{NO_NET}a number is cut off at byte 1. Received: 1 byte. Copy or download it again.",
        ),
        (
            b"\x08" + b"\xff" * 10,
            f"{NO_NET}a number at byte 1 is longer than 10 bytes. Received: 11 bytes. Copy or download it again.",
        ),
        (
            b"\x00\x01",
            f"{NO_NET}the field at byte 0 has the number 0, which no field has. "
            "Received: 2 bytes. Copy or download it again.",
        ),
        (
            b"\x0f",
            f"{NO_NET}the field 1 at byte 0 has the wire type 7, which does not exist here. "
            "Received: 1 byte. Copy or download it again.",
        ),
        (
            b"\x0d\x01",
            f"{NO_NET}the field 1 at byte 0 claims to go on to byte 5, but its message ends at byte 2. "
            "Received: 2 bytes. Copy or download it again.",
        ),
        (
            b"\x0b\x14",
            f"{NO_NET}the group that ends at byte 1 is not the one that began. "
            "Received: 2 bytes. Copy or download it again.",
        ),
        (
            b"\x12\x02\x32\x05",
            f"{NO_NET}the field 6 at byte 2 claims to go on to byte 9, but its message ends at byte 4. "
            "Received: 4 bytes. Copy or download it again.",
        ),
    ],
)
def test_damaged_files(data, expected):
    assert failure(data) == expected


def test_unknown_dialect():
    known = ", ".join(DIALECTS)
    expected = f'the dialect of a binary net is one of {known}. Received: `deplab`. Did you mean "deeplab"?'
    assert failure(b"\x0a\x00", "deplab") == expected
    with pytest.raises(WeightsError) as caught:
        encode_net(NetParameter(), "deplab")
    assert str(caught.value) == expected


def test_groups_are_skipped():
    nested = b"\x0b" * 3000 + b"\x0c" * 3000
    assert [(field.number, field.end) for field in wire.fields(nested + b"\x10\x01")] == [(1, 6000), (2, 6002)]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**64 - 1])
def test_varints(value):
    data = wire.write_varint(value)
    assert wire.read_varint(data, 0, len(data)) == (value, len(data))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_decode_or_get_a_sentence(data):
    check_robust(data)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_nets_decode_or_get_a_sentence(data):
    dialect = data.draw(st.sampled_from(DIALECTS))
    damaged = bytearray(encode_net(net(EVERY_OPTION), dialect))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_robust(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


def check_robust(data):
    try:
        decoded, dialect = decode_net(data, filename="x.caffemodel")
    except WeightsError as caught:
        message = str(caught)
    else:
        message = "x.caffemodel: "
        again, _ = decode_net(encode_net(decoded, dialect), dialect)
        # As bytes, because a damaged number may be nan.
        assert encode_net(again, dialect) == encode_net(decoded, dialect)
    assert message.startswith("x.caffemodel: ")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(143, 157), st.binary(max_size=12)), max_size=4), st.sampled_from(DIALECTS))
def test_any_option_bytes_come_back(options, dialect):
    data = b"".join(on_wire(LayerParameter(type="Custom"), number, payload) for number, payload in options)
    if data:
        decoded, _ = decode_net(data, dialect)
        again, _ = decode_net(encode_net(decoded, dialect), dialect)
        assert encode_net(again, dialect) == encode_net(decoded, dialect)


@pytest.mark.parametrize("dialect", FAMILIES)
def test_real_weights(shared, dialect):
    paths = sorted(shared.glob("models/*/*.caffemodel"))
    assert paths
    for path in paths:
        decoded, found = decode_net(path.read_bytes(), filename=str(path))
        assert found == "bvlc"
        assert any(layer.blobs for layer in [*decoded.layer, *decoded.layers])
        assert decode_net(encode_net(decoded, dialect))[0] == decoded
