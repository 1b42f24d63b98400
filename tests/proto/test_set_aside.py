"""Fields that forks use for something else: read, kept, written back as they were."""

from __future__ import annotations

import pytest

from segcaffe.convert import formats
from segcaffe.proto import wire
from segcaffe.proto.caffe_pb2 import BlobProto, LayerParameter, NetParameter, V1LayerParameter
from segcaffe.proto.dialect import decode_net, encode_net
from segcaffe.proto.text import write
from segcaffe.proto.upgrade import upgrade_net


def field(number: int, value: bytes) -> bytes:
    return wire.tag(number, wire.LENGTH) + wire.write_varint(len(value)) + value


LAYER = field(1, b"data") + field(2, b"AnnotatedData")
RESIZE = bytes.fromhex("0d0000803f100118ac0220ac02")  # prob 1, resize_mode WARP, height 300, width 300


@pytest.mark.parametrize("resize", [RESIZE, RESIZE[:-3] + b"\x38\x01", b"\x10\x01", b""])
@pytest.mark.parametrize("where", [LAYER, field(1, b"d") + field(2, b"Data")])
def test_resize_param_of_ssd(tmp_path, resize, where):
    transform = b"\x10\x01" + field(8, resize)
    data = field(1, b"ssd") + field(100, where + field(100, transform))
    net, dialect = decode_net(data)
    assert net.layer[0].transform_param.mirror
    assert not net.layer[0].transform_param.scale_factors
    assert encode_net(net, dialect) == data
    assert dialect == "ssd"
    assert len(net.layer[0].transform_param.resize_param) == 1
    assert resize != RESIZE or "resize_param {\n      prob: 1\n      resize_mode: WARP\n" in write(net)
    (tmp_path / "a.caffemodel").write_bytes(data)
    for name in ("b.npz", "b.safetensors"):
        formats.save(*_swapped(formats.load_with_dialect(tmp_path / "a.caffemodel"), tmp_path / name))
        formats.save(*_swapped(formats.load_with_dialect(tmp_path / name), tmp_path / "c.caffemodel"))
        assert (tmp_path / "c.caffemodel").read_bytes() == data


def _swapped(loaded, path):
    return loaded[0], path, loaded[1]


def test_scale_factors_stay():
    net = NetParameter(layer=[LayerParameter(name="d", transform_param={"scale_factors": [0.5, 1, 1.5]})])
    data = encode_net(net, "v2")
    assert decode_net(data)[0] == net
    packed = field(100, LAYER + field(100, field(8, b"\x00\x00\x00\x3f\x00\x00\x80\x3f")))
    assert list(decode_net(packed)[0].layer[0].transform_param.scale_factors) == [0.5, 1]


def test_old_notation_too():
    data = field(2, field(4, b"data") + field(36, b"\x10\x01" + field(8, RESIZE)))
    net, dialect = decode_net(data)
    assert encode_net(net, dialect) == data
    assert upgrade_net(net).layer[0].transform_param.mirror


def test_options_that_are_no_messages_of_ours():
    """Bytes that protobuf cannot read as what the schema says do not make the rest of the file unreadable."""
    layer = LAYER + field(106, b"\x08\x04" + field(4, b"\xff")) + field(202, b"\xff\xff")
    data = field(1, b"n") + field(100, layer) + field(100, field(1, b"c") + field(7, BlobProto().SerializeToString()))
    net, dialect = decode_net(data)
    assert net.layer[0].convolution_param.num_output == 4
    assert [layer.name for layer in net.layer] == ["data", "c"]
    assert encode_net(net, dialect) == data


def test_hole_in_a_binary_net_of_the_first_deeplab():
    options = b"\x08\x02" + wire.tag(17, wire.VARINT) + b"\x04" + wire.tag(19, wire.VARINT) + b"\x02"
    data = field(2, field(4, b"c") + b"\x28\x04" + field(10, options))
    net, dialect = decode_net(data)
    assert encode_net(net, dialect) == data
    assert net.layers[0].type == V1LayerParameter.CONVOLUTION
    new = upgrade_net(net).layer[0].convolution_param
    assert list(new.dilation) == [4, 2]
    assert not new.force_nd_im2col
    assert not new.bottom_is_im2col
