"""Lists of files: text with one item a line."""

from __future__ import annotations

import codecs
import logging
import re
import sys
from dataclasses import dataclass

from segcaffe.data.image_kinds import image_kind
from segcaffe.errors import DataError
from segcaffe.files.disk import why_unreadable
from segcaffe.files.regular import read_bytes
from segcaffe.text.digits import signed_number

log = logging.getLogger(__name__)


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
    """The lines of a list that are not blank; any line ending; UTF-8, with or without a mark, or UTF-16 with one.

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
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f'{where}: cannot read {option} "{path}": {why_unreadable(error, path)}') from error
    text = _decoded(content, f'{where}: {option} "{path}"')
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    entries = [Entry(line.strip(), f"{path}:{number}") for number, line in lines if line.strip()]
    if not entries:
        raise DataError(f'{where}: {option} "{path}" has no lines; write one item a line.')
    return entries


def _decoded(content: bytes, subject: str) -> str:
    """The text of a list. Names are bytes to the system, so those in another encoding pass through as they are."""
    if kind := image_kind(content):
        raise DataError(f"{subject} is an image ({kind}), not a text file with one item a line.")
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if b"\0" in content:
        raise DataError(f"{subject} is a binary file, not a text file with one item a line.")
    return content.removeprefix(codecs.BOM_UTF8).decode(sys.getfilesystemencoding(), "surrogateescape")


def read_stream(path: str, count: int, what: str, where: str) -> list[Entry]:
    """The words of a list, ``count`` to an entry, wherever its lines end: what ``file >> a >> b`` reads.

    Raises
    ------
    DataError
        As `read_list`; or words are left over at the end. ``what`` names them in the message.
    """
    words = [(word, entry.place) for entry in read_list(path, where) for word in entry.words]
    groups = [words[i : i + count] for i in range(0, len(words), count)]
    if len(groups[-1]) != count:
        word, place = groups[-1][0]
        raise DataError(
            f"{where}: {place}: the list must hold {what}, again and again, with spaces or line ends between them "
            f'(names may not contain any). Received: {len(words)} names; "{word}" begins an item that is not complete.'
        )
    if len({place for _, place in words}) < len(words):
        _warn_about_spread_items(groups, where)
    return [Entry(" ".join(word for word, _ in group), group[0][1]) for group in groups]


def _warn_about_spread_items(groups: list[list[tuple[str, str]]], where: str) -> None:
    """An item that ends in another line than it begins in is hardly meant, where lines hold several words."""
    spread = next((group for group in groups if group[0][1] != group[-1][1]), None)
    if spread is not None:
        log.warning(
            '%s: %s: "%s" stands in another line than "%s", which it is read with: as in Caffe, a line end is a space.',
            where, spread[-1][1], spread[-1][0], spread[0][0],
        )  # fmt: skip


def warn_about_missing_labels(entries: list[Entry], where: str) -> None:
    """Tell that lines without a label have label 0, where others have one."""
    alone = [entry for entry in entries if len(entry.words) == 1]
    if alone and len(alone) < len(entries):
        log.warning(
            "%s: %s: %d of %d lines have no label, and get label 0.", where, alone[0].place, len(alone), len(entries)
        )


def name_and_label(entry: Entry, where: str) -> tuple[str, int]:
    """A line ``image label``: the label is the last word, since names may contain spaces; a word alone has label 0."""
    name, _, label = entry.text.replace("\t", " ").rpartition(" ")
    if not name:
        return label, 0
    number = signed_number(label)
    if number is None:
        raise DataError(
            f"{where}: {entry.place}: a line must hold an image file and an integer label (without one it is 0). "
            f'Received: "{entry.text}".'
        )
    return name.rstrip(), number
