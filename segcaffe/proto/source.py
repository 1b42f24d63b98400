"""Where a character of a configuration stands, also after its template names were filled in.

Errors must point at the file the user wrote. Filling in ``${NAME}`` moves everything behind it, so a ``Source`` keeps
the original text beside the expanded one and translates positions back.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from segcaffe.errors import PrototxtError


@dataclass(frozen=True)
class Span:
    """One filled-in name: ``text[start:end]`` came from ``original[original_start:original_end]``."""

    start: int
    end: int
    original_start: int
    original_end: int
    name: str


@dataclass(frozen=True)
class Source:
    """The text of one file, expanded and original, with the spans that differ."""

    filename: str
    text: str
    original: str
    spans: tuple[Span, ...] = field(default=())

    @classmethod
    def plain(cls, text: str, filename: str) -> Source:
        """Return the source of a text without template names."""
        return cls(filename, text, text)

    @cached_property
    def _line_starts(self) -> list[int]:
        # A lone carriage return ends a line too, as in files of old Macs.
        text = self.original.replace("\r\n", "\0\n").replace("\r", "\n")
        starts = [0]
        position = text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = text.find("\n", position + 1)
        return starts

    def _to_original(self, offset: int) -> int:
        index = bisect_right(self.spans, offset, key=lambda span: span.start) - 1
        if index < 0:
            return offset
        span = self.spans[index]
        return span.original_start if offset < span.end else offset - span.end + span.original_end

    def line(self, offset: int) -> int:
        """Return the line, counted from 1, where ``text[offset]`` stands in the original file."""
        return bisect_right(self._line_starts, self._to_original(offset))

    def place(self, offset: int) -> str:
        """Return ``file:line:column`` of ``text[offset]`` in the original file, both counted from 1."""
        original = self._to_original(offset)
        line = bisect_right(self._line_starts, original)
        return f"{self.filename}:{line}:{original - self._line_starts[line - 1] + 1}"

    def names_in(self, start: int, end: int) -> list[str]:
        """Return the template names whose values overlap ``text[start:end]``."""
        return [span.name for span in self.spans if span.start < end and span.end > start]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the known word nearest to ``word``, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{nearest[0]}"?' if nearest else ""


def read_text(path: str | Path) -> str:
    """Return the UTF-8 text of a file; a byte order mark is dropped.

    Raises PrototxtError for a file that is missing, a folder, unreadable, binary or empty.
    """
    path = Path(path)
    data = _read_bytes(path)
    if b"\0" in data:
        raise PrototxtError(
            f"{path}: a configuration is a text file, and this one is binary. Received: {len(data)} bytes with zero "
            "bytes among them. Weights (.caffemodel) are given separately from the net's prototxt."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PrototxtError(
            f"{path}:{line}: a configuration must be UTF-8 text. Received: byte 0x{data[error.start]:02x} at byte "
            f"{error.start} of the file. Save the file as UTF-8."
        ) from None
    if not text.strip():
        raise PrototxtError(f"{path}: the file is empty; expected a text configuration (prototxt).")
    return text


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PrototxtError(f"{path}: there is no such file.{_nearest_file(path)}") from None
    except IsADirectoryError:
        raise PrototxtError(f"{path}: expected a text configuration (prototxt). Received: a folder.") from None
    except OSError as error:
        raise PrototxtError(f"{path}: the file cannot be read: {error.strerror or error}.") from None


def _nearest_file(path: Path) -> str:
    try:
        neighbours = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f" The folder {path.parent} cannot be listed either."
    return did_you_mean(path.name, neighbours)
