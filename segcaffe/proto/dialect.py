"""Binary nets of the families and forks of Caffe, which use the same numbers for different options.

A file of another dialect than the schema's is renumbered on the wire before it is parsed, a net is renumbered after it
is written; `numbers` holds the tables. Nothing is lost on the way:

- an option whose number the target dialect uses for another travels under 7000 + its number,
- bytes that the file's dialect does not explain stay with the net as the unknown field 8000 + number, and go back to
  their own number when the net is written again (see `set_aside`).
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from segcaffe.errors import WeightsError, did_you_mean
from segcaffe.files.limits import AS_STORED, Budget
from segcaffe.proto import content, encoding, set_aside, wire
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.detection import detect
from segcaffe.proto.numbers import DIALECTS, FAMILIES, Dialect, disputed, name_of
from segcaffe.proto.numbers import dialect as dialect_of
from segcaffe.proto.rewriting import Place, Renamed, Rule, rewritten
from segcaffe.text.words import counted

__all__ = ["DIALECTS", "FAMILIES", "decode_net", "encode_net"]

_LAYER, _OLD_LAYER = 100, 2
_LAYER_BYTES = 2000
"""What a layer without values takes in memory."""
_MAX_BYTES = 2**31 - 1


def decode_net(data: bytes, dialect: str | None = None, filename: str = "<bytes>") -> tuple[NetParameter, str]:
    """Return the net in a binary file's bytes, and the dialect it was read as.

    ``dialect`` is one of ``DIALECTS``, or None to find out from the layers' types and numbers. Nothing is upgraded.
    Raises WeightsError, which names ``filename``, for bytes that are no net.
    """
    _check_file(data, filename)
    try:
        check_count(data, filename)
        found = _check_dialect(dialect) if dialect is not None else detect(data)
        net = _parse(data, dialect_of(found))
    except (wire.WireError, DecodeError) as error:
        raise WeightsError(
            f"{filename}: the file is no binary net (.caffemodel), or it is damaged: {_reason(error)}. "
            f"Received: {counted(len(data), 'byte')}. Copy or download it again."
        ) from None
    return net, found


def encode_net(net: NetParameter, dialect: str = "bvlc") -> bytes:
    """Return the bytes of a net with the numbers of ``dialect``, one of ``DIALECTS``."""
    return rewritten(encoding.serialize(net), _writing_rule(dialect_of(_check_dialect(dialect))), ordered=True)


def _parse(data: bytes, numbers: Dialect) -> NetParameter:
    """Return the net in bytes that have the numbers of a dialect, what that does not explain set aside."""
    try:
        return encoding.parse(NetParameter, rewritten(data, _reading_rule(numbers)))
    except (wire.WireError, DecodeError):
        return encoding.parse(NetParameter, rewritten(data, _reading_rule(numbers, thorough=True)))


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


def check_count(data: bytes, filename: str) -> None:
    """Raise LimitError for more layers than a file of that size should have: an empty one takes three bytes of it."""
    budget, count = Budget(filename, len(data), AS_STORED), 0
    for field in wire.fields(data):
        count += field.number in (_OLD_LAYER, _LAYER)
        if count * _LAYER_BYTES > budget.limit:
            expected = count * len(data) // field.end
            budget.take(expected * _LAYER_BYTES, f"about {expected} layers")


def _check_dialect(dialect: str) -> str:
    if dialect not in DIALECTS:
        raise WeightsError(
            f"the dialect of a binary net is one of {', '.join(DIALECTS)}. "
            f"Received: `{dialect}`.{did_you_mean(dialect, DIALECTS)}"
        )
    return dialect


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, wire.WireError) else "protobuf cannot parse it"


def _reading_rule(numbers: Dialect, *, thorough: bool = False) -> Rule:
    """Return what the fields of a file become; ``thorough``: all options are set aside that protobuf cannot read."""

    def rule(place: Place) -> Renamed:
        own = numbers.number_read(place.kind, place.parent, place.field.number)
        known = place.kind.fields_by_number.get(own)
        if known is None:
            return Renamed(own)
        is_doubtful = own != place.field.number or place.field.number in disputed().get(name_of(place.kind), ())
        if (is_doubtful or (thorough and set_aside.is_option(place))) and not set_aside.fits(place, known):
            return Renamed(set_aside.number_aside(place.field.number))
        return Renamed(own, _value(place, known, numbers.values_read), known.message_type)

    return rule


def _writing_rule(numbers: Dialect) -> Rule:
    """Return what the fields of the schema become in a file."""

    def rule(place: Place) -> Renamed:
        if set_aside.is_aside(place):
            return Renamed(set_aside.original_number(place.field.number))
        known = place.kind.fields_by_number.get(place.field.number)
        number = numbers.number_written(place.kind, place.parent, place.field.number)
        if known is None:
            return Renamed(number)
        return Renamed(number, _value(place, known, numbers.values_written), known.message_type)

    return rule


def _value(place: Place, known: FieldDescriptor, values: Mapping[str, Mapping[int, int]]) -> bytes | None:
    """Return the bytes of an enum's value that has another number, None for any other field."""
    numbers = values.get(f"{name_of(place.kind)}.{known.name}") if known.enum_type is not None else None
    if numbers is None or place.field.kind != wire.VARINT:
        return None
    number = wire.read_varint(place.data, place.field.start)[0]
    return wire.write_varint(numbers[number]) if number in numbers else None
