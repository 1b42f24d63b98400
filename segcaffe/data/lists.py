"""Lists of files: text with one item a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segcaffe.errors import DataError


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list.

    Attributes
    ----------
    text:
        The line without surrounding space.
    place:
        ``list.txt:3``, for messages.
    """

    text: str
    place: str

    @property
    def words(self) -> list[str]:
        """The line's whitespace-separated words."""
        return self.text.split()


def read_list(path: str, where: str, option: str = "source") -> list[Entry]:
    """The lines of a list that are not blank; any line ending, UTF-8 with or without a mark.

    Parameters
    ----------
    path:
        The list file.
    where:
        How messages name the layer.
    option:
        The option that names the file, for messages.

    Raises
    ------
    DataError
        The file is missing, unreadable, or has no line.
    """
    if not path:
        raise DataError(f"{where}: {option} must name a text file with one item a line; it is not set.")
    try:
        # surrogateescape: a file name in another encoding still opens as the bytes it was written with
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f'{where}: cannot read {option} "{path}": {error.strerror}.') from error
    lines = enumerate(text.split("\n"), start=1)
    entries = [Entry(line.strip(), f"{path}:{number}") for number, line in lines if line.strip()]
    if not entries:
        raise DataError(f'{where}: {option} "{path}" has no lines; write one item a line.')
    return entries


def columns(entry: Entry, count: int, what: str, where: str) -> list[str]:
    """The words of a line that must have exactly ``count``; ``what`` names them in the message."""
    words = entry.words
    if len(words) != count:
        raise DataError(
            f"{where}: {entry.place}: a line must hold {what}, separated by spaces (names may not contain any). "
            f'Received: "{entry.text}".'
        )
    return words


def name_and_label(entry: Entry, where: str) -> tuple[str, int]:
    """A line ``image label``: the label is the last word, so that names may contain spaces."""
    name, _, label = entry.text.replace("\t", " ").rpartition(" ")
    try:
        if name.strip():
            return name.rstrip(), int(label)
    except ValueError:
        pass
    raise DataError(
        f'{where}: {entry.place}: a line must hold an image file and an integer label. Received: "{entry.text}".'
    )
