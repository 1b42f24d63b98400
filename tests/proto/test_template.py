"""Template names, and where their values come from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.errors import PrototxtError
from segcaffe.proto import template, text
from segcaffe.proto.caffe_pb2 import NetParameter


def test_names_in_numbers_and_strings():
    source = 'name: "fc8_${SET}/${SET}" input_dim: ${N} input_dim: -${N}'
    assert template.expand(source, {"SET": "voc", "N": "3"}).text == ('name: "fc8_voc/voc" input_dim: 3 input_dim: -3')


def test_names_in_comments_stay():
    source = '# lr ${LR}\nname: "a # ${A}" # and ${B}'
    assert template.expand(source, {"A": "x"}).text == '# lr ${LR}\nname: "a # x" # and ${B}'


def test_text_without_names_is_unchanged():
    source = "name: '$HOME {x} $ {Y}' # $"
    assert template.expand(source, None).text == source


def test_an_empty_value_is_a_value():
    assert template.expand("x: '${A}'", {"A": ""}).text == "x: ''"


def test_template_names_in_order():
    assert template.template_names("a: ${B} b: '${A}${B}' # ${C}") == ["B", "A"]


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_value_arrives_in_a_string(value):
    for quote in "'\"":
        source = template.expand(f"name: {quote}<${{V}}>{quote}", {"V": value}).text
        assert text.parse(source, NetParameter()).name == f"<{value}>"


def test_all_unset_names_are_listed_at_once():
    source = "a: ${A}\nb: '${B}'\n# ${C}\nc: ${A} ${A}\nd: ${SET}"
    with pytest.raises(PrototxtError) as caught:
        template.expand(source, {"SET": "1"}, "net.prototxt")
    assert str(caught.value) == (
        "net.prototxt:1: every template name ${NAME} needs a value. Without a value: A (lines 1, 4); B (line 2). "
        "Set them with --set A=VALUE (once per name) or --vars FILE, a file of NAME=VALUE lines."
    )


def test_a_long_list_of_lines_is_cut():
    with pytest.raises(PrototxtError, match=r"A \(lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more\)"):
        template.expand("a: ${A}\n" * 12, {})


def test_places_after_a_value_with_line_breaks():
    source = template.expand("a: ${A} b\nc", {"A": "1\n2\n3"}, "f")
    assert source.place(source.text.index("b")) == ("f", 1, 9)
    assert source.place(source.text.index("2")) == ("f", 1, 4)
    assert source.place(source.text.index("c")) == ("f", 2, 1)


def test_assignments():
    assert template.parse_assignments(["A=1", "B_2=a=b c", "P=C:\\x", "E="]) == {
        "A": "1",
        "B_2": "a=b c",
        "P": "C:\\x",
        "E": "",
    }


def test_the_last_assignment_counts():
    assert template.parse_assignments(["A=1", "A=2"]) == {"A": "2"}


@pytest.mark.parametrize("wrong", ["A", "=1", "1A=2", "A B=2", ""])
def test_wrong_assignments(wrong):
    with pytest.raises(PrototxtError) as caught:
        template.parse_assignments([wrong])
    assert str(caught.value) == (
        f"--set takes NAME=VALUE, where NAME is made of letters, digits and underscores. Received: `{wrong}`."
    )


def test_variables_file(tmp_path):
    path = tmp_path / "vars"
    path.write_text(
        "# paths\nEXP=/data/exp # the experiment\nexport NET_ID = embs\n\nLR: 0.01\n"
        'QUOTED="a b # c" # d\nSINGLE=\'x"y\'\nESCAPED="a\\"b\\\\c\\d"\nHASH=a#b\nEMPTY=\nONLY= # comment\nEXP=/last\n'
    )
    assert template.read_vars(path) == {
        "EXP": "/last",
        "NET_ID": "embs",
        "LR": "0.01",
        "QUOTED": "a b # c",
        "SINGLE": 'x"y',
        "ESCAPED": 'a"b\\c\\d',
        "HASH": "a#b",
        "EMPTY": "",
        "ONLY": "",
    }


def test_wrong_line_in_variables_file(tmp_path):
    path = tmp_path / "vars"
    path.write_text("A=1\nB 2\n")
    with pytest.raises(PrototxtError) as caught:
        template.read_vars(path)
    assert str(caught.value) == (f"{path}:2: a line of a variables file is NAME=VALUE or NAME: VALUE. Received: `B 2`.")


def test_open_quote_in_variables_file(tmp_path):
    path = tmp_path / "vars"
    path.write_text('A="x\n')
    with pytest.raises(PrototxtError) as caught:
        template.read_vars(path)
    assert str(caught.value) == f'{path}:1: a quoted value must end with the same quote. Received: `"x`.'


def test_missing_variables_file(tmp_path):
    with pytest.raises(PrototxtError, match="there is no such file"):
        template.read_vars(tmp_path / "vars")
