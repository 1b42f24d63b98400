"""Which number an option has in which dialect: the families' table, and the forks' in ``numbers.csv``.

The schema keeps upstream's ("bvlc") numbers and has room of its own for options that it would displace; the README
beside it tells how. A row of the file is a field of a message (or ``field=VALUE``, a value of an enum), its number, and
the forks that have it there; there is a row where the number is not the schema's, and for the numbers of
``LayerParameter`` that the families dispute.

Sources: the caffe.proto of upstream Caffe 1.0, of DeepLab v2, of both versions of the segmentation-aware fork, and of
the forks.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor

from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import LayerParameter

FAMILIES = ("bvlc", "v1", "v2", "deeplab")
FORKS = ("ssd", "intel", "intel-dawn", "nvidia", "jacinto", "jacinto-0.16", "jacinto-0.15", "rfcn", "rfcn-microsoft",
         "fast-rcnn", "segnet", "enet", "pspnet", "erfnet", "openvino", "openvino-reid", "greentea", "greentea-srprnn",
         "deeplab-v1", "hed", "synopsys", "yolo-v2", "yolo9000", "yolo", "mobilenet-yolo", "deepdetect",
         "crf-as-rnn", "segtask", "tsn", "segawareatt", "caffe-lstm", "binarization", "happynear", "caffe-face", "cpm",
         "ocr", "flownet2")  # fmt: skip
"""In the order in which they are tried where several explain a file equally well."""
DIALECTS = FAMILIES + FORKS
# Option: its number in v1, v2 and deeplab. bvlc's are the schema's own.
OF_FAMILIES: dict[str, tuple[int | None, int | None, int | None]] = {
    "input_param": (143, None, 143),
    "crop_param": (154, None, 144),
    "parameter_param": (None, None, 145),
    "recurrent_param": (None, None, 146),
    "swish_param": (None, None, None),
    "clip_param": (None, None, None),
    "bias_channel_param": (None, 149, 149),
    "unique_label_param": (None, 150, 150),
    "mat_read_param": (None, 151, 151),
    "channel_reduce_param": (151, 152, None),
    "dist_loss_param": (147, 153, None),
    "im2dist_param": (145, 154, None),
    "im2parity_param": (146, 155, None),
    "norm_conv_param": (153, 156, None),
    "norm_conv_meanfield_param": (156, 157, None),
    "interp_param": (149, 143, 153),
    "seg_accuracy_param": (None, 144, 154),
    "mat_write_param": (150, 145, 155),
    "dense_crf_param": (None, 146, 152),
    "domain_transform_param": (None, 147, 147),
    "adaptive_bias_channel_param": (None, 148, 148),
    "four_image_data_param": (144, None, None),
    "two_image_data_param": (148, None, None),
    "replicate_param": (152, None, None),
    "multi_stage_meanfield_param": (155, None, None),
}
DISPUTED = range(143, 158)
"""Numbers of ``LayerParameter`` that the families use for different options."""
NOT_IN_DIALECT = 7000
"""An option whose number the dialect uses for another one travels under this + its number in the schema."""
NOT_EXPLAINED = 8000
"""Bytes that the dialect does not explain stay with the net under this + their number."""
_LAYER = "LayerParameter"
_HOLES = {17: 117, 18: 118, 19: 119}
"""The first DeepLab's ``hole``, ``hole_h`` and ``hole_w``, which later became ``force_nd_im2col``, ``dilation`` and
``bottom_is_im2col``; they are recognised by their layer, which has the old notation."""
Numbers = dict[str, dict[int, int]]


class Dialect(NamedTuple):
    """The numbers of a dialect, by message: those in a file to the schema's, and back; enums' values by field."""

    reading: Mapping[str, Mapping[int, int]]
    writing: Mapping[str, Mapping[int, int]]
    values_read: Mapping[str, Mapping[int, int]]
    values_written: Mapping[str, Mapping[int, int]]

    def number_read(self, kind: Descriptor, parent: Descriptor | None, number: int) -> int:
        """Return the schema's number for a field of a message in a file, the message inside ``parent``."""
        if number in _HOLES and _is_v1_convolution(kind, parent):
            return _HOLES[number]
        return self.reading.get(name_of(kind), {}).get(number, number)

    def number_written(self, kind: Descriptor, parent: Descriptor | None, own: int) -> int:
        """Return the number in a file for a field of the schema."""
        if own in _HOLES.values() and _is_v1_convolution(kind, parent):
            return own - 100
        return self.writing.get(name_of(kind), {}).get(own, own)


class _Row(NamedTuple):
    message: str
    field: str
    value: str
    number: int
    dialects: tuple[str, ...]


@cache
def name_of(kind: Descriptor) -> str:
    """Return the name of a message, ``Outer.Inner`` for one inside another."""
    return str(kind.full_name).partition(".")[2]


def _is_v1_convolution(kind: Descriptor, parent: Descriptor | None) -> bool:
    return kind.name == "ConvolutionParameter" and parent is not None and parent.name == "V1LayerParameter"


@cache
def dialect(name: str) -> Dialect:
    """Return the numbers of one of ``DIALECTS``."""
    rows = [row for row in _rows() if name in row.dialects]
    theirs: Numbers = {_LAYER: numbers_in(name)} if name in FAMILIES else {}
    values: Numbers = {}
    for row in rows:
        own = descriptor(row.message).fields_by_name[row.field]
        if row.value:
            number = own.enum_type.values_by_name[row.value].number
            values.setdefault(f"{row.message}.{row.field}", {})[row.number] = number
        else:
            theirs.setdefault(row.message, {})[row.number] = own.number
    reading = {message: _reading(message, numbers) for message, numbers in theirs.items()}
    writing = {message: _inverse(numbers) for message, numbers in reading.items()}
    # What was not explained goes back to its own number, also where this dialect would have explained it.
    writing.setdefault(_LAYER, {}).update({number + NOT_EXPLAINED: number for number in DISPUTED})
    return Dialect(reading, writing, values, {field: _inverse(numbers) for field, numbers in values.items()})


@cache
def numbers_in(name: str) -> dict[int, int]:
    """Return the numbers of a family's options in its files, and the schema's for each."""
    fields = LayerParameter.DESCRIPTOR.fields_by_name
    if name == "bvlc":
        return {fields[option].number: fields[option].number for option in OF_FAMILIES}
    column = FAMILIES.index(name) - 1
    numbers = {option: numbers[column] for option, numbers in OF_FAMILIES.items()}
    return {number: fields[option].number for option, number in numbers.items() if number is not None}


@cache
def disputed() -> Mapping[str, frozenset[int]]:
    """Return by message the numbers that are not the same option in all dialects."""
    numbers: dict[str, set[int]] = {_LAYER: set(DISPUTED)}
    for row in _rows():
        if not row.value:
            numbers.setdefault(row.message, set()).add(row.number)
    return {message: frozenset(found) for message, found in numbers.items()}


@cache
def disputed_options() -> Mapping[str, int]:
    """Return the options of layers whose number is not the same in all dialects, and the schema's number for each."""
    fields = LayerParameter.DESCRIPTOR.fields_by_name
    names = [*OF_FAMILIES, *(row.field for row in _rows() if row.message == _LAYER and row.field.endswith("_param"))]
    return {name: fields[name].number for name in names}


@cache
def descriptor(message: str) -> Any:
    """Return the description of a message of the schema, ``Outer.Inner`` for one inside another."""
    outer, *inner = message.split(".")
    found: Descriptor = caffe_pb2.DESCRIPTOR.message_types_by_name[outer]
    for name in inner:
        found = found.nested_types_by_name[name]
    return found


@cache
def _rows() -> tuple[_Row, ...]:
    with Path(__file__).with_name("numbers.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_row(row) for row in csv.DictReader(file))


def _row(row: Mapping[str, str]) -> _Row:
    field, _, value = row["field"].partition("=")
    return _Row(row["message"], field, value, int(row["number"]), tuple(row["dialects"].split()))


def _reading(message: str, theirs: Mapping[int, int]) -> dict[int, int]:
    """Return the schema's number for each number of a file, where the two differ; ``theirs`` are those it has."""
    numbers = dict(theirs)
    for field in descriptor(message).fields:
        own = field.number
        if own not in theirs.values() and (own in theirs or (message == _LAYER and own in DISPUTED)):
            numbers[own + NOT_IN_DIALECT] = own
    if message == _LAYER:
        numbers.update({number: number + NOT_EXPLAINED for number in DISPUTED if number not in theirs})
    return {number: own for number, own in numbers.items() if number != own}


def _inverse(numbers: Mapping[int, int]) -> dict[int, int]:
    return {own: number for number, own in numbers.items()}
