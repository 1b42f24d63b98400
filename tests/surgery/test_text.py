"""The text of a net with changes: its comments, layout and template names stay where they can."""

from __future__ import annotations

import pytest

from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.text import parse
from segcaffe.surgery import Crf, Guide, Masking, SegAware, Subject, segawarify

NET = """# A net.
# segcaffe.class_names: a, b

name: "small"
layer { name: "data" type: "Input" top: "data" # the image
  input_param { shape { dim: 1 dim: 3 dim: ${SIDE} dim: 8 } } }

# What is masked.
layer {
  name: "conv"   # its name
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param {  num_output: 2  kernel_size: 3 }  # 3x3
}
layer { name: "write" type: "Silence" bottom: "conv" } # ${not a name} and the end"""


def made_of(text: str, **variables: str) -> SegAware:
    return segawarify(Subject.parse(text, variables), Guide("data"))


def test_comments_layout_and_templates_stay() -> None:
    made = made_of(NET, SIDE="9")
    assert made.text_kept
    for line in ("# segcaffe.class_names: a, b", "dim: ${SIDE} dim: 8", '  name: "conv"   # its name', "# 3x3"):
        assert line in made.text
    assert made.text.startswith("# Made segmentation-aware: 1 convolution through masks exp(-|lambda d|)")
    assert made.text.endswith("# ${not a name} and the end")
    assert "{ bottom_is_im2col: true  num_output: 2  kernel_size: 3 }" in made.text
    assert made.text.index('type: "Im2dist"') < made.text.index("# What is masked.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("{  num_output: 2  kernel_size: 3 }", "< num_output: 2 kernel_size: 3 >"),
        ("{  num_output: 2  kernel_size: 3 }", ": { num_output: 2, kernel_size: [3, 3]; }"),
        ('bottom: "data"', "bottom: 'data'"),
        ('bottom: "data"', 'bottom: ["data"]'),
        ('bottom: "data"', 'bottom: "da" "ta"'),
        ('"conv"', r'"c\"}{#\\"'),
        ('"conv"', '"c/o:n [v]"'),
        ("layer {\n", "layer: {\n"),
    ],
)
def test_whatever_the_notation_the_net_is_right(old: str, new: str) -> None:
    text = NET.replace(old, new).replace("${SIDE}", "9")
    assert text != NET
    made = made_of(text)
    assert parse(made.text, NetParameter()) == made.net
    conv = next(layer for layer in made.net.layer if layer.type == "Convolution")
    assert conv.bottom == [f"{conv.name}_hit"]
    assert conv.convolution_param.bottom_is_im2col


OLD = """# old
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
# the layer
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
"""


def test_inputs_as_fields_stay() -> None:
    made = made_of(OLD)
    assert made.text_kept
    assert "input_dim: 8\n" in made.text


def test_an_old_notation_is_written_anew() -> None:
    made = made_of(OLD.replace("layer {", "layers {").replace('"Convolution"', "CONVOLUTION"))
    assert not made.text_kept
    assert "# the layer" not in made.text
    assert any("written anew" in note for note in made.notes)
    assert [layer.type for layer in made.net.layer][:2] == ["Input", "Im2dist"]


def test_a_message_is_not_changed() -> None:
    net = parse(OLD, NetParameter())
    before = net.SerializeToString()
    made = segawarify(Subject.of(net), Guide("data"))
    assert net.SerializeToString() == before
    assert made.notes == ()


def test_scores_at_the_end_of_a_file_without_a_last_newline() -> None:
    made = segawarify(Subject.parse(OLD.rstrip()), Guide("data"), Masking(), Crf())
    assert made.text_kept
    assert made.net.layer[-1].top == ["conv"]
