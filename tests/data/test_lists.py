from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.data.lists import Entry, columns, name_and_label, read_list
from segcaffe.errors import DataError


def test_blank_lines_line_endings_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\r\n\r\n  c\td \n\n\xff.png e")
    entries = read_list(str(path), "layer")
    assert [entry.words for entry in entries] == [["a", "b"], ["c", "d"], ["\udcff.png", "e"]]
    assert entries[1].place == f"{path}:3"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b" \r\n\n", "has no lines")], ids=["missing", "blank"]
)
def test_unusable_lists(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f'^layer.*{path.name}".*{reason}'):
        read_list(str(path), "layer")


def test_an_unset_list_is_asked_for() -> None:
    with pytest.raises(DataError, match="source must name a text file"):
        read_list("", "layer")


@pytest.mark.parametrize("text", ["one", "one two three"])
def test_the_number_of_words_must_fit(text: str) -> None:
    with pytest.raises(DataError, match=rf'layer: list.txt:4: a line must hold two names.*Received: "{text}"'):
        columns(Entry(text, "list.txt:4"), 2, "two names", "layer")


@pytest.mark.parametrize(
    ("text", "expected"), [("a.png 3", ("a.png", 3)), ("my file.png\t-1", ("my file.png", -1)), ("a   0", ("a", 0))]
)
def test_the_label_is_the_last_word(text: str, expected: tuple[str, int]) -> None:
    assert name_and_label(Entry(text, "x:1"), "layer") == expected


@pytest.mark.parametrize("text", ["a.png", "7", "a.png 1.5", "a.png b.png"])
def test_labels_are_integers(text: str) -> None:
    with pytest.raises(DataError, match="x:1: a line must hold an image file and an integer label"):
        name_and_label(Entry(text, "x:1"), "layer")
