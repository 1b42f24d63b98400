"""The errors segcaffe raises on purpose.

Every message is a sentence for the user: where (file:line, or layer name and type), the rule, what was received and
what to do. The command line prints them as one paragraph and exits with status 2; anything else is a bug.

Each is also what scripts catch who know nothing of segcaffe: a ValueError where values and shapes are wrong, a
RuntimeError where a net can't be built or run, a KeyError where a name is not known. One that is made while an OSError
is handled is of that kind too (OSError, FileNotFoundError, PermissionError...), with its errno and filename.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

E = TypeVar("E", bound="SegcaffeError")
_types: dict[tuple[type, type], type[Any]] = {}
_SHOWN = 60
"""How many known names a message lists."""


class Place(NamedTuple):
    """Where something stands in a text file: line and column count from 1; column 0 is the line as a whole."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class SegcaffeError(Exception):
    """Base of every error that tells the user about their input or their machine.

    Attributes
    ----------
    layer:
        Name of the layer that the error is about; empty if it is about none.
    place:
        Where the layer, or what is wrong in it, stands in the user's file, if that is known. It comes before the text.
    """

    joins: ClassVar[type[Exception]] = OSError
    """Exceptions of this kind, while they are handled, give the error their type."""
    layer: str = ""
    place: Place | None = None

    def __new__(cls, *args: Any, **about: Any) -> SegcaffeError:
        """Make the error, of the type of the exception that is being handled too where it joins that."""
        cause = sys.exc_info()[1]
        if isinstance(cause, cls.joins) and not issubclass(cls, type(cause)):
            return joined(cls, cause, *args)
        return Exception.__new__(cls, *args)

    def __init__(self, *args: Any, layer: str = "", place: Place | None = None) -> None:
        Exception.__init__(self, *args)
        self.about(layer, place)

    def __str__(self) -> str:
        # The exception that the error joined may have had a `place` of another kind.
        return f"{self.place}: {self.text()}" if isinstance(self.place, Place) else self.text()

    def text(self) -> str:
        """The message without the place."""
        # KeyError would show its message in quotes, OSError its errno.
        return Exception.__str__(self)

    def about(self, layer: str, place: Place | None) -> None:
        """Note which layer the error is about, and where that stands, unless more is known already."""
        if self.place is None and self.layer in ("", layer):
            self.layer, self.place = layer, place


@contextmanager
def about_layer(name: str, place: Place | None) -> Iterator[None]:
    """Have the errors that arise meanwhile say that they are about a layer, and where it stands."""
    try:
        yield
    except SegcaffeError as error:
        error.about(name, place)
        raise


class PrototxtError(SegcaffeError, ValueError, RuntimeError):
    """A text configuration cannot be read: syntax, an unknown field or enum value, an unset template name."""


class GraphError(SegcaffeError, RuntimeError):
    """The layers do not form a net: a bottom never made, a top made twice, an unknown type, a contradictory rule."""


class InputError(GraphError, ValueError):
    """What a net is given to run on does not fit it."""


class UnknownNameError(GraphError, KeyError, ValueError):
    """A net has no blob or layer of that name."""


class ShapeError(SegcaffeError, ValueError, RuntimeError):
    """Blobs, options and parameters of a layer do not fit together."""


class WeightsError(SegcaffeError, ValueError, RuntimeError):
    """A file of weights or solver state cannot be read, or does not fit the net."""


class ExportError(SegcaffeError, ValueError, RuntimeError):
    """A net, or a part of it, cannot be written in another framework's format."""


class DataError(SegcaffeError, ValueError):
    """Input data is missing, unreadable, or breaks the rules of the layer that reads it."""


class LimitError(WeightsError, DataError):
    """A file claims more, or unfolds to more, than its size allows; `segcaffe.set_max_bytes` allows it."""


class DeviceError(SegcaffeError, RuntimeError):
    """The GPU, its driver or CuPy is missing or failed."""


class NumericError(SegcaffeError, ArithmeticError, RuntimeError):
    """A loss or gradient became NaN or infinite."""


class LockedError(SegcaffeError, RuntimeError):
    """Another process is writing to the same place."""


class UserCodeError(SegcaffeError, RuntimeError):
    """Code that the user supplied (a Python layer) raised an exception; the message ends with its traceback.

    It is of the type of that exception too, and has its attributes.
    """

    joins = Exception


class MissingSchemaError(SegcaffeError, ImportError):
    """The package lies in a checkout whose schema has not been compiled into a module."""


def unknown_name(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that a net does not have.

    Parameters
    ----------
    what:
        What was looked for, "blob" for example.
    known:
        The names that there are.
    """
    names = list(known)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    listed = f"{', '.join(names[:_SHOWN])}{more}" if names else "none"
    return UnknownNameError(f'The net has no {what} "{name}".{did_you_mean(str(name), names)} Known: {listed}.')


def nearest(word: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Return up to ``count`` known words that are much like ``word``, the likest first; upper case counts as lower."""
    by_lower: dict[str, str] = {}
    for name in known:
        by_lower.setdefault(name.lower(), name)
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, n=count)]


def did_you_mean(word: str, known: Iterable[str], count: int = 1) -> str:
    """Return `` Did you mean "x"?`` (or `` "x" or "y"?``) for the `nearest` known words; nothing where none is like."""
    near = " or ".join(f'"{name}"' for name in nearest(word, known, count))
    return f" Did you mean {near}?" if near else ""


def joined(kind: type[E], cause: BaseException, *args: Any) -> E:
    """Make an error of ``kind`` that is of the type of ``cause`` too and has its attributes.

    A type that can't be combined with others, or made of a message, is left out.
    """
    try:
        error: E = type(cause).__new__(_join(kind, type(cause)), *args)
    except TypeError:
        return Exception.__new__(kind, *args)
    error.args = args
    error.__dict__.update(cause.__dict__)
    if isinstance(error, OSError) and isinstance(cause, OSError):
        error.errno, error.strerror, error.filename = cause.errno, cause.strerror, cause.filename
    return error


def _join(kind: type[E], other: type[BaseException]) -> type[E]:
    """The type of an error that is of both kinds."""
    if (kind, other) not in _types:
        new = {
            "__module__": kind.__module__,
            "__new__": other.__new__,
            "__reduce__": lambda error: _reduce(error, kind),
        }
        _types[kind, other] = type(kind.__name__, (kind, other), new)
    return _types[kind, other]


def _reduce(error: SegcaffeError, kind: type[SegcaffeError]) -> tuple[Any, ...]:
    """How a joined error is pickled: its type has no place where it could be found."""
    number = (error.errno, error.strerror, error.filename) if isinstance(error, OSError) else ()
    return _restored, (kind, type(error).__bases__[1], number, error.args), error.__dict__


def _restored(
    kind: type[SegcaffeError], other: type[BaseException], number: tuple[Any, ...], args: tuple[Any, ...]
) -> SegcaffeError:
    return joined(kind, other(*number), *args)
