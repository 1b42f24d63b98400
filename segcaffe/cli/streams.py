"""Standard output and error of a command: names that are no text come out as the bytes they are, and steer nothing."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from segcaffe.errors import SegcaffeError
from segcaffe.files.disk import why_unwritable
from segcaffe.text.visible import harmless

_BYTES_OR_ESCAPES = "segcaffe.bytes_or_escapes"
_SURROGATES = range(0xDC80, 0xDD00)
"""What stands for bytes that are no text in Python's paths; their last 8 bits are the byte."""


class OutputError(SegcaffeError):
    """Standard output takes no more, and what waits for it would fail again at the end."""


class _Stream:
    """A text stream that takes the characters that stand for bytes in messages, and escapes control characters."""

    def __init__(self, inner: TextIO, results: bool) -> None:
        self._inner, self._results = inner, results

    def write(self, text: str) -> int:
        """Write a text; returns the number of characters."""
        text = harmless(text)
        if not text.isascii():
            # Not above: a command in a checkout without its schema must come as far as telling so.
            from segcaffe.proto.encoding import to_native

            text = to_native(text)
        with self._told():
            self._inner.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        with self._told():
            self._inner.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Where standard output cannot be written, say so; messages that cannot be told are lost."""
        try:
            yield
        except (SegcaffeError, BrokenPipeError):
            raise
        except OSError as error:
            if self._results:
                raise OutputError(f"the output cannot be written: {why_unwritable(error)}.") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def streams_of_bytes() -> Iterator[None]:
    """While it lasts, let names in any encoding be printed, and what the terminal has no character for be escaped."""
    codecs.register_error(_BYTES_OR_ESCAPES, _escape)
    ours = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    errors = [stream.errors for stream in ours]
    for stream in ours:
        stream.reconfigure(errors=_BYTES_OR_ESCAPES)
    out, err = cast(TextIO, _Stream(sys.stdout, True)), cast(TextIO, _Stream(sys.stderr, False))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        # What else the process prints is its own affair; a pipe may be gone by now.
        with suppress(OSError):
            for stream, before in zip(ours, errors, strict=True):
                stream.reconfigure(errors=before)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle what cannot be encoded: a character that stands for a byte becomes that, another an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if ord(character) in _SURROGATES:
        return bytes([ord(character) & 0xFF]), error.start + 1
    return character.encode("ascii", "backslashreplace"), error.start + 1
