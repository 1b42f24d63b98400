"""The schema holds every field and enum value of the four dialects."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from segcaffe.proto import caffe_pb2
from segcaffe.proto import numbers as numbers_of
from segcaffe.proto.caffe_pb2 import LayerParameter

COLLIDING = {str(number) for number in range(143, 158)}
README = Path(__file__).resolve().parents[2] / "protos" / "README.md"
SCALARS = {
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}
MESSAGES = caffe_pb2.DESCRIPTOR.message_types_by_name


@pytest.fixture
def rows(shared):
    def read(name):
        with (shared / "spec" / name).open(newline="") as file:
            return list(csv.DictReader(file))

    return read


def type_of(field):
    named = field.message_type or field.enum_type
    text = named.full_name.removeprefix("segcaffe.") if named is not None else SCALARS[field.type]
    return text + (" packed" if field.is_repeated and field.is_packed else "")


def default_of(field):
    if not field.has_default_value:
        return ""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    return field.default_value


def same_default(field, text):
    default = default_of(field)
    if text == "" or isinstance(default, str):
        return default == text
    if isinstance(default, bool):
        return text == str(default).lower()
    return default == pytest.approx(float(text), rel=1e-6)


def numbers(row):
    return {row[f"number_{name}"] for name in numbers_of.FAMILIES} - {""}


def number_in(family, option):
    own = LayerParameter.DESCRIPTOR.fields_by_name[option].number
    return next((number for number, meaning in numbers_of.numbers_in(family).items() if meaning == own), None)


def test_every_field_of_every_dialect_is_there(rows):
    wrong = []
    for row in rows("fields.csv"):
        field = MESSAGES[row["message"]].fields_by_name.get(row["field"])
        if field is None:
            wrong.append(f"missing: {row['message']}.{row['field']}")
            continue
        if type_of(field) != row["type"]:
            wrong.append(f"{field.full_name} is {type_of(field)}, not {row['type']}")
        if field.is_repeated != (row["label"] == "repeated"):
            wrong.append(f"{field.full_name} is repeated: {field.is_repeated}")
        if not same_default(field, row["default"]):
            wrong.append(f"{field.full_name} has the default {default_of(field)!r}, not {row['default']!r}")
    assert wrong == []


def test_numbers_without_collision_are_the_dialects(rows):
    wrong = []
    for row in rows("fields.csv"):
        if row["message"] == "LayerParameter" and numbers(row) & COLLIDING:
            continue
        field = MESSAGES[row["message"]].fields_by_name[row["field"]]
        if {str(field.number)} != numbers(row):
            wrong.append(f"{field.full_name} = {field.number}, not {numbers(row)}")
    assert wrong == []


def test_the_dialects_numbers_are_those_of_the_spec(rows):
    wrong = []
    for row in rows("fields.csv"):
        if row["message"] != "LayerParameter" or not numbers(row) & COLLIDING:
            continue
        for name in numbers_of.FAMILIES:
            number = row[f"number_{name}"]
            # bvlc files are read as they are, so the schema's numbers count as bvlc's where bvlc has none.
            if name == "bvlc" and not number:
                continue
            if str(number_in(name, row["field"]) or "") != number:
                wrong.append(f"{row['field']} in {name}: {number}")
    assert wrong == []


def test_every_enum_value_is_there(rows):
    wrong = []
    for row in rows("enums.csv"):
        message, _, name = row["enum"].rpartition(".")
        enums = MESSAGES[message].enum_types_by_name if message else caffe_pb2.DESCRIPTOR.enum_types_by_name
        value = enums[name].values_by_name.get(row["value"])
        if value is None or {str(value.number)} != numbers(row):
            wrong.append(f"{row['enum']}.{row['value']} should be {numbers(row)}")
    assert wrong == []


def test_readme_table_is_the_code():
    table = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].endswith("_param"):
            table[cells[0]] = cells[1:]
    assert set(table) == set(numbers_of.OF_FAMILIES)
    for option, (own, _, *others) in table.items():
        assert int(own) == LayerParameter.DESCRIPTOR.fields_by_name[option].number
        found = [number_in(name, option) for name in ("v1", "v2", "deeplab")]
        assert others == [str(number) if number is not None else "\N{EN DASH}" for number in found]


def test_nothing_is_required():
    required = [field.full_name for message in MESSAGES.values() for field in message.fields if field.is_required]
    assert required == []


def test_a_compiled_schema_that_is_too_old_is_noticed(tmp_path):
    from segcaffe.proto import _names_missing

    schema, compiled = tmp_path / "caffe.proto", tmp_path / "caffe_pb2.py"
    compiled.write_text("")
    schema.write_text("message BlobShape {\n  repeated int64 dim = 1;\n  optional float brand_new = 2;\n}\n")
    os.utime(compiled, (1, 1))
    assert _names_missing(schema, compiled) == ["brand_new"]
    os.utime(schema, (0, 0))
    assert _names_missing(schema, compiled) == []
