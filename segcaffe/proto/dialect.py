"""Binary nets of four Caffe families, which use the same LayerParameter numbers for different options.

The schema keeps upstream's ("bvlc") numbers and has room of its own for options it would displace; protos/README.md
holds the table. A file of another dialect is renumbered on the wire before it is parsed, a net is renumbered after it
is written. Nothing is lost on the way:

- an option that the target dialect does not have travels under 7000 + its number,
- bytes that the file's dialect does not explain stay with the net as the unknown field 8000 + number, and go back to
  their own number when the net is written again; so do fields inside of options (see `set_aside`).

Sources: the caffe.proto of upstream Caffe 1.0, of DeepLab v2, and of both versions of the segmentation-aware fork.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message

from segcaffe.errors import WeightsError, did_you_mean
from segcaffe.files.limits import AS_STORED, Budget
from segcaffe.proto import caffe_pb2, content, encoding, set_aside, wire
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.fields import options_by_type
from segcaffe.text.words import counted

DIALECTS = ("bvlc", "v1", "v2", "deeplab")

# Option: its number in v1, v2 and deeplab. bvlc's are the schema's own.
_NUMBERS: dict[str, tuple[int | None, int | None, int | None]] = {
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
_FIRST, _LAST = 143, 157
_NOT_IN_DIALECT = 7000
_NOT_EXPLAINED = 8000
_LAYER, _OLD_LAYER, _TYPE = 100, 2, 2
_LAYER_BYTES = 2000
"""What a layer without values takes in memory."""
_MAX_BYTES = 2**31 - 1


class _Layer(NamedTuple):
    """A layer on the wire: its field in the net, its type, and those of its fields whose number may need care."""

    field: wire.WireField
    type: str
    options: list[wire.WireField]


def decode_net(data: bytes, dialect: str | None = None, filename: str = "<bytes>") -> tuple[NetParameter, str]:
    """Return the net in a binary file's bytes, and the dialect it was read as.

    ``dialect`` is one of ``DIALECTS``, or None to find out from the layers' types and numbers. Nothing is upgraded.
    Raises WeightsError, which names ``filename``, for bytes that are no net.
    """
    _check_file(data, filename)
    try:
        _check_count(data, filename)
        layers = _layers(data)
        found = _check_dialect(dialect) if dialect is not None else _detect(data, layers)
        numbers = _reading(found)
        net = _parse(_renumber(data, layers, lambda field: _number_read(data, field, numbers)))
    except (wire.WireError, DecodeError) as error:
        raise WeightsError(
            f"{filename}: the file is no binary net (.caffemodel), or it is damaged: {_reason(error)}. "
            f"Received: {counted(len(data), 'byte')}. Copy or download it again."
        ) from None
    return net, found


def encode_net(net: NetParameter, dialect: str = "bvlc") -> bytes:
    """Return the bytes of a net with the numbers of ``dialect``, one of ``DIALECTS``."""
    numbers = _writing(_check_dialect(dialect))
    data = set_aside.put_back(encoding.serialize(net))
    return _renumber(data, _layers(data), lambda field: numbers.get(field.number, field.number))


def _parse(data: bytes) -> NetParameter:
    """Return the net in bytes that have the schema's numbers, what forks have in other places set aside."""
    try:
        return encoding.parse(NetParameter, set_aside.set_aside(data))
    except (wire.WireError, DecodeError):
        return encoding.parse(NetParameter, set_aside.set_aside(data, thorough=True))


def _check_file(data: bytes, filename: str) -> None:
    if not data:
        raise WeightsError(f"{filename}: the file is empty; expected a binary net (.caffemodel).")
    received = content.content_of(data)
    if received not in ("", content.WEIGHTS):
        hint = content.advice(received, content.WEIGHTS)
        raise WeightsError(f"{filename}: expected a binary net (.caffemodel). Received: {received}.{hint}")
    if len(data) > _MAX_BYTES:
        raise WeightsError(
            f"{filename}: a binary net (.caffemodel) holds at most 2 GiB. Received: {len(data)} bytes. "
            "Save larger nets as HDF5."
        )


def _check_count(data: bytes, filename: str) -> None:
    """Raise LimitError for more layers than a file of that size should have: an empty one takes three bytes of it."""
    count = sum(field.number in (_OLD_LAYER, _LAYER) for field in wire.fields(data))
    Budget(filename, len(data), AS_STORED).take(count * _LAYER_BYTES, counted(count, "layer"))


def _check_dialect(dialect: str) -> str:
    if dialect not in DIALECTS:
        raise WeightsError(
            f"the dialect of a binary net is one of {', '.join(DIALECTS)}. "
            f"Received: `{dialect}`.{did_you_mean(dialect, DIALECTS)}"
        )
    return dialect


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, wire.WireError) else "protobuf cannot parse it"


# Numbers: from a dialect to the schema and back.


@cache
def _own_numbers() -> dict[str, int]:
    return {option: LayerParameter.DESCRIPTOR.fields_by_name[option].number for option in _NUMBERS}


@cache
def _numbers_in(dialect: str) -> dict[str, int]:
    """Return the number of each option that the dialect has."""
    if dialect == "bvlc":
        return _own_numbers()
    column = DIALECTS.index(dialect) - 1
    numbers = {option: numbers[column] for option, numbers in _NUMBERS.items()}
    return {option: number for option, number in numbers.items() if number is not None}


@cache
def _reading(dialect: str) -> Mapping[int, int]:
    """Return the schema's number for each number of a file in the dialect, where the two differ."""
    theirs = _numbers_in(dialect)
    known = {theirs[option]: own for option, own in _own_numbers().items() if option in theirs}
    numbers = {number: known.get(number, number + _NOT_EXPLAINED) for number in range(_FIRST, _LAST + 1)}
    for option, own in _own_numbers().items():
        if option not in theirs and own <= _LAST:
            numbers[own + _NOT_IN_DIALECT] = own
    return {number: own for number, own in numbers.items() if number != own}


@cache
def _writing(dialect: str) -> Mapping[int, int]:
    numbers = {own: number for number, own in _reading(dialect).items()}
    # What was not explained goes back to its own number, also where this dialect would have explained it.
    numbers.update({number + _NOT_EXPLAINED: number for number in range(_FIRST, _LAST + 1)})
    return numbers


@cache
def _option_class(own_number: int) -> type[Message] | None:
    field = LayerParameter.DESCRIPTOR.fields_by_number.get(own_number)
    if field is None or field.message_type is None:
        return None
    message_class: type[Message] = getattr(caffe_pb2, field.message_type.name)
    return message_class


# Walking and renumbering.


def _layers(data: bytes) -> list[_Layer]:
    return [_layer(data, field) for field in wire.fields(data) if (field.number, field.kind) == (_LAYER, wire.LENGTH)]


def _layer(data: bytes, field: wire.WireField) -> _Layer:
    layer_type = ""
    options = []
    for inner in wire.fields(data, field.start, field.end):
        if inner.kind != wire.LENGTH:
            continue
        if inner.number == _TYPE:
            layer_type = data[inner.start : inner.end].decode("utf-8", "replace")
        elif inner.number >= _FIRST:
            options.append(inner)
    return _Layer(field, layer_type, options)


def _renumber(data: bytes, layers: list[_Layer], new_number: Callable[[wire.WireField], int]) -> bytes:
    """Return ``data`` with the options of its layers renumbered; ``data`` itself where nothing changes."""
    view = memoryview(data)
    pieces: list[bytes | memoryview] = []
    copied = 0
    for layer in layers:
        numbered = [(field, new_number(field)) for field in layer.options]
        changed = [(field, number) for field, number in numbered if number != field.number]
        if not changed:
            continue
        body = _body(view, layer.field, changed)
        pieces += (view[copied : layer.field.begin], wire.tag(_LAYER, wire.LENGTH))
        pieces.append(wire.write_varint(sum(len(piece) for piece in body)))
        pieces += body
        copied = layer.field.end
    return b"".join([*pieces, view[copied:]]) if pieces else data


def _body(
    view: memoryview, layer: wire.WireField, changed: list[tuple[wire.WireField, int]]
) -> list[bytes | memoryview]:
    pieces: list[bytes | memoryview] = []
    copied = layer.start
    for field, number in changed:
        pieces.append(view[copied : field.begin])
        pieces += (wire.tag(number, field.kind), wire.write_varint(field.end - field.start))
        copied = field.start
    return [*pieces, view[copied : layer.end]]


def _number_read(data: bytes, field: wire.WireField, numbers: Mapping[int, int]) -> int:
    """Return the schema's number of an option; one whose bytes are no such message is set aside, unexplained."""
    number = numbers.get(field.number, field.number)
    option = _option_class(number) if _FIRST <= field.number <= _LAST else None
    if option is not None and _fit(option, data[field.start : field.end]) is None:
        return field.number + _NOT_EXPLAINED
    return number


# Finding out.


def _detect(data: bytes, layers: list[_Layer]) -> str:
    """Return the dialect that explains the layers' numbers best, the first of them where several do."""
    return min(DIALECTS, key=lambda dialect: sum(_cost(data, layer, dialect) for layer in layers))


def _cost(data: bytes, layer: _Layer, dialect: str) -> int:
    """Return how badly a dialect explains a layer: 0 when its options belong to its type and decode without rest."""
    own_option = _own_numbers().get(options_by_type().get(layer.type, ""))
    cost = 0
    for field in layer.options:
        own = _reading(dialect).get(field.number, field.number)
        if own not in _own_numbers().values():
            cost += 3 if _is_disputed(field.number) else 0
        elif _is_ours_only(field.number, dialect) or (own_option is not None and own != own_option):
            cost += 2
        else:
            cost += _misfit(own, data[field.start : field.end])
    return cost


def _is_disputed(number: int) -> bool:
    return _FIRST <= number <= _LAST or _FIRST <= number - _NOT_IN_DIALECT <= _LAST


def _is_ours_only(number: int, dialect: str) -> bool:
    """Return whether the schema alone uses this number, for an option that the dialect writes under its own."""
    return number > _LAST and number in _writing(dialect)


def _misfit(own_number: int, payload: bytes) -> int:
    option = _option_class(own_number)
    rest = _fit(option, payload) if option is not None else 0
    return 3 if rest is None else min(rest, 1)


def _fit(option: type[Message], payload: bytes) -> int | None:
    """Return how many bytes of an option its message does not explain, None where they are no message at all."""
    try:
        message = option.FromString(payload)
    except DecodeError:
        return None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return size - message.ByteSize()
