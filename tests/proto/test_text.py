"""The text format: what is accepted, and what each error says."""

from __future__ import annotations

import math
import time

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.errors import PrototxtError
from segcaffe.proto import text
from segcaffe.proto.caffe_pb2 import BlobProto, Datum, LayerParameter, NetParameter, SolverParameter
from segcaffe.proto.template import expand, template_names


def net(source):
    return text.parse(source, NetParameter())


def error(source, message=NetParameter):
    with pytest.raises(PrototxtError) as caught:
        text.parse(source, message(), "net.prototxt")
    return str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        'layer { name: "a" type: "ReLU" }',
        'layer: { name: "a" type: "ReLU" }',
        "layer { name: 'a' type: 'ReLU' }",
        'layer < name: "a" type: "ReLU" >',
        'layer{name:"a"type:"ReLU"}',
        'layer { name: "a", type: "ReLU"; },',
        'layer {\r\n  name: "a" # the name }\r\n  type: "ReLU"\r\n}\r\n',
        'layer {\r  name: "a" # the name }\r  type: "ReLU"\r}\r',
        '\ufefflayer { name: "a" type: "ReLU" }',
        'layer [ { name: "a" type: "ReLU" } ]',
        'layer: [ { name: "a" type: "ReLU" } ]',
        'layer { name: "" "a" \'\' type: "Re"\n"LU" }',
        '# comment only\n\n\tlayer\n{\nname\n:\n"a" type: "ReLU" }',
        r'layer { name: "\141" type: "\x52e\114U" }',
    ],
)
def test_ways_to_write_one_layer(source):
    assert net(source) == NetParameter(layer=[LayerParameter(name="a", type="ReLU")])


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("- 2", -2.0),
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        ("1f", 1.0),
        ("1.5F", 1.5),
        ("2.e1", 20.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("007.5", 7.5),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
    ],
)
def test_float_notations(source, value):
    assert text.parse(f"power: {source}", SolverParameter()).power == pytest.approx(value)


def test_nan():
    assert math.isnan(text.parse("power: nan gamma: -nan", SolverParameter()).power)


@pytest.mark.parametrize(
    ("source", "value"),
    [("12", 12), ("-12", -12), ("0x1F", 31), ("-0X1f", -31), ("017", 15), ("00", 0), ("2147483647", 2**31 - 1)],
)
def test_integer_notations(source, value):
    assert text.parse(f"max_iter: {source}", SolverParameter()).max_iter == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        *((word, True) for word in ("true", "True", "t", "1", "0x1")),
        *((word, False) for word in ("false", "False", "f", "0")),
    ],
)
def test_truth_values(source, value):
    assert text.parse(f"debug_info: {source}", SolverParameter()).debug_info is value


@pytest.mark.parametrize("source", ["CPU", "0"])
def test_enums_by_name_and_number(source):
    solver = text.parse(f"solver_mode: {source}", SolverParameter())
    assert solver.HasField("solver_mode")
    assert solver.solver_mode == SolverParameter.CPU


@pytest.mark.parametrize("source", ["input_dim: [1, 2, 3]", "input_dim: 1 input_dim: [2] input_dim: [] input_dim: 3"])
def test_lists_of_scalars(source):
    assert net(source).input_dim == [1, 2, 3]


def test_lists_of_messages():
    shapes = net("input_shape: [{ dim: [1, 2] }, <dim: 3>]").input_shape
    assert [list(shape.dim) for shape in shapes] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (r"\a\b\f\n\r\t\v\\\'\"\?", "\a\b\f\n\r\t\v\\'\"?"),
        (r"\60\061\7x", "01\ax"),
        (r"\xC3\xA9 \303\251 \u00e9 \U0001F600", "é é é 😀"),
        ("äöü # no comment", "äöü # no comment"),
        ("it's", "it's"),
        ("", ""),
    ],
)
def test_strings(source, value):
    assert net(f'name: "{source}"').name == value


def test_bytes_need_not_be_text():
    assert text.parse(r'data: "\377\x00a"', Datum()).data == b"\xff\x00a"


def test_an_empty_group_is_set():
    layer = net("layer { relu_param { } }").layer[0]
    assert layer.HasField("relu_param")


# Errors: each message as a whole.

LONG_RANGE = "the value must be a whole number from 0 to 4294967295."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            'layer {\n  name: "conv1"\n  type: "Convolution"\n  convolution_param { kernal_size: 3 }\n}',
            'net.prototxt:4:23: in layer "conv1" (Convolution), field "convolution_param.kernal_size": '
            'ConvolutionParameter has no such field. Received: `kernal_size`. Did you mean "kernel_size"?',
        ),
        (
            'layer {\n  pooling_param { kernel_size: 2.5 }\n  type: "Pooling"\n  name: "pool1"\n}',
            f'net.prototxt:2:32: in layer "pool1" (Pooling), field "pooling_param.kernel_size": {LONG_RANGE} '
            "Received: `2.5`.",
        ),
        (
            "layer { convolution_param { num_output: -1 } }",
            'net.prototxt:1:41: in layer without a name, field "convolution_param.num_output": '
            f"{LONG_RANGE} Received: `-1`.",
        ),
        (
            "layer { convolution_param { num_output: 4294967296 } }",
            'net.prototxt:1:41: in layer without a name, field "convolution_param.num_output": '
            f"{LONG_RANGE} Received: `4294967296`.",
        ),
        (
            'layer { name: "c" kernel_w: 3 }',
            'net.prototxt:1:19: in layer "c", field "kernel_w": LayerParameter has no such field. '
            "Received: `kernel_w`. The field belongs into convolution_param or pooling_param.",
        ),
        (
            'layer { name: "c" type: CONVOLUTION }',
            'net.prototxt:1:25: in layer "c" (CONVOLUTION), field "type": the value must stand in quotes, as in '
            '"CONVOLUTION". Received: `CONVOLUTION`. For the old name CONVOLUTION without quotes write `layers` '
            "instead of `layer`.",
        ),
        (
            'layers { name: "c" type: "Convolution" }',
            'net.prototxt:1:26: in layer "c" (Convolution), field "type": inside `layers` (with s) the type is one of '
            'the old names without quotes, such as CONVOLUTION. Received: `"Convolution"`. For quoted types write '
            "`layer` instead of `layers`.",
        ),
        (
            'layers { layer { name: "c" typ: "conv" } }',
            'net.prototxt:1:28: in layer "c", field "typ": V0LayerParameter has no such field. '
            'Received: `typ`. Did you mean "type"?',
        ),
        (
            "layers { type: CONVOLUTIN }",
            'net.prototxt:1:16: in layer without a name (CONVOLUTIN), field "type": unknown layer type, none of the 78 '
            'names that the schema knows. Received: `CONVOLUTIN`. Did you mean "CONVOLUTION"?',
        ),
        (
            "state { phase: TRAI }",
            'net.prototxt:1:16: field "state.phase": the value must be one of TRAIN, TEST. Received: `TRAI`. '
            'Did you mean "TRAIN"?',
        ),
        (
            'state { phase: "TRAIN" }',
            'net.prototxt:1:16: field "state.phase": the value must be one of TRAIN, TEST without quotes. '
            'Received: `"TRAIN"`. Did you mean "TRAIN"?',
        ),
        (
            "state { phase: 7 }",
            'net.prototxt:1:16: field "state.phase": the value must be one of TRAIN, TEST. Received: `7`.',
        ),
        (
            'name: "a"\nforce_backward: true\nname: "b"',
            'net.prototxt:3:1: field "name": name is not repeated, so it may be given once. '
            "Received: name on line 1 and again on line 3.",
        ),
        (
            "state { }\nstate { }",
            'net.prototxt:2:1: field "state": state is not repeated, so it may be given once. '
            "Received: state on line 1 and again on line 2.",
        ),
        (
            'layer { name: "x"\n',
            'net.prototxt:2:1: in layer "x", field "layer": the { of line 1 is not closed; add the missing }. '
            "Received: the end of the file.",
        ),
        (
            'layer < name: "x" }',
            'net.prototxt:1:19: in layer "x", field "layer": there is nothing to close here. Received: `}`.',
        ),
        (
            'layer {\n  name: "a"\n  input_param { shape { dim: 1 }\n}\nlayer {\n  name: "b"\n}\n',
            'net.prototxt:5:1: in layer "a", field "layer": a closing } is missing before `layer`: the { of line 1 is '
            "not closed. Received: `layer`, which LayerParameter does not have.",
        ),
        (
            'layer {\n  name: "a"\n  input_param {\n    shape { dim: 1 }\nlayer { }\n',
            'net.prototxt:5:1: in layer "a", field "input_param.layer": a closing } is missing before `layer`: the { '
            "of lines 1 and 3 are not closed. Received: `layer`, which InputParameter does not have.",
        ),
        (
            'layer {\n  name: "a"\n  input_param {\n  shape { dim: 1 }\n  top: "x"\n}\n',
            'net.prototxt:5:3: in layer "a", field "input_param.top": a closing } is missing before `top`: the { of '
            "line 3 is not closed. Received: `top`, which InputParameter does not have.",
        ),
        (
            'layer { name: "a" input_param { top: "x" } }',
            'net.prototxt:1:33: in layer "a", field "input_param.top": InputParameter has no such field. Received: '
            "`top`. It is a field of LayerParameter: write it outside of these braces.",
        ),
        (
            'layer {\n  name: "a" }\n}\ntop: "x"',
            "net.prototxt:3:1: there is nothing to close here. Received: `}`.",
        ),
        (
            'layer {\n  name: "a" }\n  top: "x"\n}',
            'net.prototxt:3:3: field "top": the layer that began on line 1 is closed already: there is a } too many '
            "before `top`, or a `layer {` missing. Received: `top`, which NetParameter does not have.",
        ),
        (
            'layer { norms_param { } name: "n" type: "VideoData" }',
            'net.prototxt:1:9: in layer "n" (VideoData), field "norms_param": unknown layer type "VideoData". It comes '
            "from SSD and TSN, and is not part of segcaffe. Cut it off, and give the video's frames as images to "
            "`segcaffe predict`. Received: its option `norms_param`.",
        ),
        (
            'layer { type: "Nowhere" convolution_param { strange: 1 } }',
            'net.prototxt:1:45: in layer without a name (Nowhere), field "convolution_param.strange": unknown layer '
            'type "Nowhere". `segcaffe net --types` lists the known ones. Received: its option `strange`.',
        ),
        (
            'layer { type: "Softmax" softmaxloss_param { } }',
            'net.prototxt:1:25: in layer without a name (Softmax), field "softmaxloss_param": LayerParameter '
            "has no such field. Received: `softmaxloss_param`. Upstream calls it loss_param.",
        ),
        (
            'net: "n.prototxt" base_lr: 0.1',
            "net.prototxt: a net (prototxt) belongs here. Received: a solver (prototxt) with the fields net, base_lr. "
            "Give the net that it names, n.prototxt.",
        ),
        ("}", "net.prototxt:1:1: there is nothing to close here. Received: `}`."),
        (
            "name: conv",
            'net.prototxt:1:7: field "name": the value must stand in quotes, as in "conv". Received: `conv`.',
        ),
        ("name: 3", 'net.prototxt:1:7: field "name": the value must stand in quotes, as in "3". Received: `3`.'),
        ("name:", 'net.prototxt:1:6: field "name": the value must stand in quotes. Received: the end of the file.'),
        ("name: }", 'net.prototxt:1:7: field "name": the value must stand in quotes. Received: `}`.'),
        (
            "name: /data/x # y",
            'net.prototxt:1:7: field "name": the value must stand in quotes, as in "/data/x". Received: `/data/x`.',
        ),
        (
            'name: "abc\nforce_backward: true',
            'net.prototxt:1:7: field "name": a string must end with " on the line where it began. Received: `"abc`.',
        ),
        (
            r'name: "\q"',
            'net.prototxt:1:7: field "name": a string knows the escapes \\n \\t \\\\ \\" \\\' and their like, not \\q. '
            'Received: `"\\q"`.',
        ),
        (
            r'name: "\uD800"',
            'net.prototxt:1:7: field "name": \\ud800 is no character of Unicode. Received: `"\\uD800"`.',
        ),
        (
            "force_backward: yes",
            'net.prototxt:1:17: field "force_backward": the value must be true or false. Received: `yes`.',
        ),
        (
            "force_backward: -1",
            'net.prototxt:1:17: field "force_backward": the value must be true or false. Received: `-1`.',
        ),
        (
            "input_dim: 3.0",
            'net.prototxt:1:12: field "input_dim": the value must be a whole number from -2147483648 to 2147483647. '
            "Received: `3.0`.",
        ),
        (
            "input_dim: 08",
            'net.prototxt:1:12: field "input_dim": the value must be a whole number from -2147483648 to 2147483647. '
            "A leading 0 means octal, with digits up to 7. Received: `08`.",
        ),
        (
            "input_dim: -",
            'net.prototxt:1:12: field "input_dim": the value must be a whole number from -2147483648 to 2147483647. '
            "Received: `-`.",
        ),
        (
            "input_dim: [1 2]",
            'net.prototxt:1:15: field "input_dim": the values of a list stand between [ and ], with commas between '
            "them. Received: `2`.",
        ),
        (
            "input_dim: [1, 2",
            'net.prototxt:1:17: field "input_dim": the values of a list stand between [ and ], with commas between '
            "them. Received: the end of the file.",
        ),
        (
            'name: ["a"]',
            'net.prototxt:1:7: field "name": the value must stand in quotes. Received: `[`.',
        ),
        (
            'name = "x"',
            'net.prototxt:1:6: field "name": a field\'s name is followed by a colon and its value. Received: `=`.',
        ),
        (
            "layer 3",
            'net.prototxt:1:7: field "layer": layer is a group of fields, written layer { ... }. Received: `3`.',
        ),
        ("é: 3", "net.prototxt:1:1: expected the name of a field. Received: `é:`."),
        ("3: 3", "net.prototxt:1:1: expected the name of a field. Received: `3`."),
        (
            "layer { power_param { power: 0x10 } }",
            'net.prototxt:1:30: in layer without a name, field "power_param.power": the value must be a decimal '
            "number. Received: `0x10`.",
        ),
        (
            'layer { power_param { power: "1" } }',
            'net.prototxt:1:30: in layer without a name, field "power_param.power": the value must be a decimal '
            'number. Received: `"1"`.',
        ),
        (
            "layer { power_param { power: 1.5.2 } }",
            'net.prototxt:1:30: in layer without a name, field "power_param.power": the value must be a decimal '
            "number. Received: `1.5.2`.",
        ),
        (
            "layer { power_param { power: 1e40 } }",
            'net.prototxt:1:30: in layer without a name, field "power_param.power": the value must be a number that a '
            "float can hold, up to 3.4e38 (write inf for infinity). Received: `1e40`.",
        ),
        (
            "layer { power_param { power: ${P} } }",
            'net.prototxt:1:30: in layer without a name, field "power_param.power": the value must be a decimal '
            "number. Received: `$`.",
        ),
    ],
)
def test_error(source, expected):
    assert error(source) == expected


def test_a_double_too_large():
    assert "that a float can hold" in error("double_data: 1e999", BlobProto)


def test_an_error_inside_a_solver_names_the_field():
    assert error("base_lr: 0.1\nlr_polcy: 'fixed'", SolverParameter) == (
        'net.prototxt:2:1: field "lr_polcy": SolverParameter has no such field. Received: `lr_polcy`. '
        'Did you mean "lr_policy"?'
    )


def test_columns_count_in_old_mac_files():
    assert error('name: "a"\r\rlayer: 3').startswith("net.prototxt:3:8: ")


@settings(deadline=None)
@given(st.text(alphabet="name:layer{}[]<>\",;#\\'- \n0123.xeE+_$\0é", max_size=60))
def test_any_text_parses_or_gets_a_sentence(source):
    try:
        net(source)
    except PrototxtError as caught:
        message = str(caught)
    else:
        message = "<string>:"
    assert message.startswith("<string>:")


@settings(deadline=None)
@given(st.floats(width=32), st.text(max_size=20), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=20))
def test_what_is_written_is_read_again(number, name, count, data):
    solver = SolverParameter(power=number, net=name, max_iter=count)
    again = text.parse(text.write(solver), SolverParameter())
    assert math.isnan(number) or again == solver
    datum = Datum(data=data)
    assert text.parse(text.write(datum), Datum()) == datum


# Writing.


def test_write_puts_fields_in_the_order_of_their_numbers():
    solver = text.parse(
        "type: 'Adam' stepvalue: [3, 4] base_lr: 0.1 test_state { stage: 'a' } debug_info: 0", SolverParameter()
    )
    assert text.write(solver) == (
        'base_lr: 0.1\ndebug_info: false\ntest_state {\n  stage: "a"\n}\nstepvalue: 3\nstepvalue: 4\ntype: "Adam"\n'
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1, "1"),
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (1 / 3, "0.33333334"),
        (16777216, "16777216"),
        (3.4028234663852886e38, "3.4028235e+38"),
    ],
)
def test_floats_are_written_shortest(value, written):
    assert text.write(SolverParameter(power=value)) == f"power: {written}\n"


def test_doubles_keep_their_digits():
    assert text.write(BlobProto(double_data=[0.1, 1 / 3, 2.0])) == (
        "double_data: 0.1\ndouble_data: 0.3333333333333333\ndouble_data: 2\n"
    )


def test_write_mentions_fields_it_cannot_name():
    binary = NetParameter(layer=[LayerParameter(name="a")]).SerializeToString() + b"\x88\x7d\x05"
    assert text.write(NetParameter.FromString(binary)).startswith(
        "# Not written, unknown to the schema: field 2001 of NetParameter\n"
    )


@pytest.mark.parametrize("name", ["net0", "net1"])
def test_write_prints_as_caffe_does(shared, name):
    path = shared / "models" / "lenet_mnist" / f"{name}_printed_by_caffe_in_log.prototxt"
    printed = path.read_text()
    assert text.write(net(printed)).split() == printed.split()


# Files.


def test_read_fills_in_names_and_keeps_places(tmp_path):
    path = tmp_path / "t.prototxt"
    path.write_text('name: "${LONG_NAME}" force_backward: maybe')
    with pytest.raises(PrototxtError, match=rf"{path}:1:38: "):
        text.read(path, NetParameter, {"LONG_NAME": "x"})


def test_an_error_in_a_filled_in_value_names_its_source(tmp_path):
    path = tmp_path / "t.prototxt"
    path.write_text("\ninput_dim: ${SIZE}")
    with pytest.raises(PrototxtError) as caught:
        text.read(path, NetParameter, {"SIZE": "big"})
    assert str(caught.value) == (
        f'{path}:2:12: field "input_dim": the value must be a whole number from -2147483648 to 2147483647. '
        "Received: `big` (the value of ${SIZE})."
    )


def test_missing_file_names_a_near_one(tmp_path):
    (tmp_path / "train.prototxt").write_text("name: 'x'")
    with pytest.raises(PrototxtError, match=r'tran.prototxt: there is no such file. Did you mean "train.prototxt"\?$'):
        text.read_net(tmp_path / "tran.prototxt")


def test_missing_folder(tmp_path):
    with pytest.raises(PrototxtError, match=r"no such file\. The folder .*nowhere cannot be listed either.$"):
        text.read_net(tmp_path / "nowhere" / "x.prototxt")


def test_folder_instead_of_file(tmp_path):
    with pytest.raises(PrototxtError, match=r"expected a text configuration \(prototxt\)\. Received: a folder\.$"):
        text.read_solver(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty; expected a text configuration (prototxt)."),
        (b" \n\t\n", "the file is empty; expected a text configuration (prototxt)."),
        (
            b"\n\x05LeNet\x00\x00",
            "expected a net (prototxt). Received: 9 bytes that are no text.",
        ),
    ],
)
def test_bad_files(tmp_path, content, expected):
    path = tmp_path / "bad.prototxt"
    path.write_bytes(content)
    with pytest.raises(PrototxtError) as caught:
        text.read_net(path)
    assert str(caught.value).endswith(expected)
    assert str(caught.value).startswith(str(path))


def test_byte_order_mark(tmp_path):
    path = tmp_path / "x.prototxt"
    path.write_bytes(b'\xef\xbb\xbfname: "x"\n')
    assert text.read_net(path).message.name == "x"


def test_layer_places_follow_the_upgrade(tmp_path):
    path = tmp_path / "v0.prototxt"
    path.write_text(
        'name: "old"\ninput: "data"\ninput_dim: [1, 1, 5, 5]\n'
        'layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "padded" }\n'
        'layers { layer { name: "conv1" type: "conv" } bottom: "padded" top: "conv1" }\n\n'
        'layers { layer { name: "conv1" type: "relu" } bottom: "conv1" top: "conv1" }\n'
    )
    net = text.read_net(path)
    assert [layer.name for layer in net.message.layer] == ["input", "conv1", "conv1"]
    assert [str(place) for place in net.places] == [f"{path}:2", f"{path}:5", f"{path}:7"]


def values_for(source):
    words = {"SOLVER_MODE": "GPU"}
    return {name: words.get(name, "3") for name in template_names(source)}


def test_original_files_read_as_protobuf_reads_them(shared):
    paths = sorted((shared / "original").glob("*/*.prototxt"))
    assert len(paths) >= 23
    for path in paths:
        source = path.read_text()
        message_class = SolverParameter if path.name.startswith("solver") else NetParameter
        message = text.read(path, message_class, values_for(source))
        expected = text_format.Parse(expand(source, values_for(source)).text, message_class())
        assert message == expected, path
        assert text.parse(text.write(message), message_class()) == message, path


def test_original_files_upgrade(shared):
    for path in sorted((shared / "original").glob("*/*.prototxt")):
        reader = text.read_solver if path.name.startswith("solver") else text.read_net
        reader(path, values_for(path.read_text()))


def test_a_large_file_is_read_in_a_second(shared):
    path = shared / "original" / "config_resnet" / "test.prototxt"
    values = values_for(path.read_text())
    took = []
    for _ in range(3):
        start = time.process_time()  # Other processes may be busy.
        net = text.read_net(path, values)
        took.append(time.process_time() - start)
    assert len(net.message.layer) == len(net.places) > 1000
    assert min(took) < 1
