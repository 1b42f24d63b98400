"""Where a character of a configuration stands, also after its template names were filled in.

Errors must point at the file the user wrote. Filling in ``${NAME}`` moves everything behind it, so a ``Source`` keeps
the original text beside the expanded one and translates positions back.
"""

from __future__ import annotations

import codecs
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from segcaffe.errors import Place, PrototxtError, did_you_mean
from segcaffe.files.regular import read_bytes
from segcaffe.proto import content
from segcaffe.text.words import counted


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

    def place(self, offset: int) -> Place:
        """Return where ``text[offset]`` stands in the original file."""
        original = self._to_original(offset)
        line = bisect_right(self._line_starts, original)
        return Place(self.filename, line, original - self._line_starts[line - 1] + 1)

    def names_in(self, start: int, end: int) -> list[str]:
        """Return the template names whose values overlap ``text[start:end]``."""
        return [span.name for span in self.spans if span.start < end and span.end > start]


def read_text(path: str | Path, wanted: str = "a text configuration (prototxt)") -> str:
    """Return the text of a file; a byte order mark is dropped, bytes that are not UTF-8 become surrogates.

    ``wanted``, a word of `content`, is what the file should hold. Raises PrototxtError for a file that is missing, a
    folder, unreadable, empty, binary, or a web page.
    """
    return text_of(_read_bytes(Path(path)), str(path), wanted)


def text_of(data: bytes, where: str, wanted: str = "a text configuration (prototxt)") -> str:
    """As `read_text`, of bytes; ``where`` is what errors call them."""
    if not content.is_configuration(data):
        received = content.content_of(data) or f"{counted(len(data), 'byte')} that are no text"
        raise PrototxtError(f"{where}: expected {wanted}. Received: {received}.{content.advice(received, wanted)}")
    text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    if not text.strip():
        raise PrototxtError(f"{where}: the file is empty; expected a text configuration (prototxt).")
    return text


def _read_bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
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
