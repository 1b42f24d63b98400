from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcaffe.data.images import read_bytes
from segcaffe.data.lists import Entry, name_and_label, read_list, read_stream
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


def test_a_relative_path_says_where_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=re.escape(f'begins in the folder you are in, "{tmp_path}".')):
        read_list("lists/train.txt", "layer")
    with pytest.raises(DataError, match=re.escape(f'begins in the folder you are in, "{tmp_path}".')):
        read_bytes("a.png", "layer")
    with pytest.raises(DataError, match=r"No such file or directory\.$"):
        read_list(str(tmp_path / "train.txt"), "layer")


def test_an_unset_list_is_asked_for() -> None:
    with pytest.raises(DataError, match="source must name a text file"):
        read_list("", "layer")


@pytest.mark.parametrize(
    "text", ["a b\nc d\n", "a b c d", "a\nb\nc\nd\n", "\n a\t b \r\n\r\nc d"], ids=["lines", "one", "words", "blank"]
)
def test_a_stream_of_names_knows_no_lines(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    assert [entry.words for entry in read_stream(str(path), 2, "pairs", "layer")] == [["a", "b"], ["c", "d"]]
    assert caplog.text == ""


def test_a_stream_whose_items_lie_across_lines_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a b c\nd e f\n")
    entries = read_stream(str(path), 2, "pairs", "layer")
    assert [(entry.text, entry.place[-1]) for entry in entries] == [("a b", "1"), ("c d", "1"), ("e f", "2")]
    assert f'layer: {path}:2: "d" stands in another line than "c"' in caplog.text


def test_names_left_over(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a b\nc\n")
    with pytest.raises(DataError, match=r'list.txt:2: the list must hold pairs.*Received: 3 names; "c" begins'):
        read_stream(str(path), 2, "pairs", "layer")


def test_a_list_in_the_encoding_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("strasse/ß.png 1\n", encoding="utf-16")
    assert read_list(str(path), "layer")[0].words == ["strasse/ß.png", "1"]


@pytest.mark.parametrize(("content", "reason"), [
    (b"\x89PNG\r\n\x1a\n\0\0", r"is an image \(PNG\)"),
    (b"\0\0\0 ftypavif\0\0\0\0avifmif1", r"is an image \(AVIF\)"),
    (b"a.png 1\n\0\0", "is a binary file"),
])  # fmt: skip
def test_what_is_no_text_is_no_list(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf'layer: source ".*list.txt" {reason}, not a text file'):
        read_list(str(path), "layer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png 3", ("a.png", 3)),
        ("my file.png\t-1", ("my file.png", -1)),
        ("a   0", ("a", 0)),
        ("a.png", ("a.png", 0)),
        ("7", ("7", 0)),
    ],
)
def test_the_label_is_the_last_word(text: str, expected: tuple[str, int]) -> None:
    assert name_and_label(Entry(text, "x:1"), "layer") == expected


@pytest.mark.parametrize("text", ["a.png 1.5", "a.png b.png"])
def test_labels_are_integers(text: str) -> None:
    with pytest.raises(DataError, match="x:1: a line must hold an image file and an integer label"):
        name_and_label(Entry(text, "x:1"), "layer")
