"""Options that a text file gives and the schema does not know: all of a file told of at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segcaffe.errors import Place, PrototxtError

UNKNOWN_TYPE = "unknown layer type"
_SHOWN = 12


class UnknownOption(NamedTuple):
    """An option of a file, or a value of one, that the schema does not know.

    Attributes
    ----------
    place:
        Where it stands.
    layer:
        Name of the layer around it; empty outside of layers.
    where:
        That and the field, as errors begin: ``in layer "conv1" (Convolution), field "convolution_param.x": ``.
    what:
        What is wrong with it, a sentence.
    hint:
        What may be meant; empty, or a sentence behind a space.
    """

    place: Place
    layer: str
    where: str
    what: str
    hint: str = ""

    def text(self) -> str:
        """Return the whole in words, without the place."""
        return f"{self.where}{self.what}{self.hint}"


def error_about(options: Sequence[UnknownOption]) -> PrototxtError:
    """Return the error that tells of all the options of a file."""
    first = options[0]
    if len(options) == 1:
        return PrototxtError(first.text(), layer=first.layer, place=first.place)
    lines = sentences(options)
    more = [f"And {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    told = f"{len(options)} options are not known here. " + "; ".join(lines[:_SHOWN] + more)
    return PrototxtError(f"{told}.", layer=first.layer, place=first.place)


def sentences(options: Sequence[UnknownOption]) -> list[str]:
    """Return a line for each option, those of one kind together, with the lines of the file."""
    groups: dict[tuple[str, str], list[UnknownOption]] = {}
    for option in options:
        groups.setdefault((_field(option), option.hint), []).append(option)
    return [_sentence(name, hint, found) for (name, hint), found in groups.items()]


def _field(option: UnknownOption) -> str:
    """The field; an unknown layer type instead, whose options nobody can know."""
    field = option.where.rpartition('field "')[2].partition('"')[0]
    return option.what.partition(". Received")[0] if option.what.startswith(UNKNOWN_TYPE) or not field else field


def _sentence(name: str, hint: str, found: Sequence[UnknownOption]) -> str:
    lines = [str(option.place.line) for option in found]
    shown = ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")
    inside = found[0].where.partition(", field")[0] if found[0].layer and len(found) == 1 else ""
    layer = f", {inside}" if inside else ""
    return f"Line{'s' if len(lines) > 1 else ''} {shown}{layer}: {name}{f' ({hint.strip()})' if hint else ''}"
