"""Control characters in names: none reaches a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from segcaffe.cli.main import main
from segcaffe.cli.streams import streams_of_bytes
from segcaffe.text.visible import harmless, one_line

CLEAR = "\x1b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u5b66 text\n\tindented\r\n", None),
        ("\r 50%|##", None),
        ("\r        \r", None),
        ("\x1b[1;32mcolour\x1b[0m", None),
        ("\x1b[A", None),
        (f"clear{CLEAR}", r"clear\x1b[2J"),
        ("title\x1b]0;mine\x07", r"title\x1b]0;mine\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("back\x08 bell\x07 eight bits\x9b", r"back\x08 bell\x07 eight bits\x9b"),
        ("turned\u202eround", r"turned\u202eround"),
    ],
)
def test_what_steers_is_escaped(text: str, shown: str | None) -> None:
    assert harmless(text) == (text if shown is None else shown)


def test_a_name_in_a_table_is_one_line() -> None:
    assert one_line("a\nb\tc\r\x1b[0m\u5b66") == r"a\nb\tc\r\x1b[0m" + "\u5b66"


def test_no_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    layers = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ dim: 1 }} }} }}'
    path.write_text(r'name: "n\033[2J\n" ' + layers.format(r"a\033[2J\r\nb"))
    assert main(["net", str(path)]) == 0
    out, _ = capsys.readouterr()
    assert "\x1b" not in out
    assert r"a\x1b[2J\r\nb" in out
    path.write_text(layers.format(r"a\033[2J").replace("Input", r"Inp\033[2J"))
    assert main(["net", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert r"\x1b[2J" in err


def test_progress_bars_look_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    for steered in (True, False):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        stream = sys.stderr
        if steered:
            with streams_of_bytes():
                _bars()
        else:
            _bars()
        shown.append(stream.getvalue())  # type: ignore[attr-defined]
    assert shown[0] == shown[1]
    assert "\r" in shown[0]


def _bars() -> None:
    bar = "{desc}{n}/{total}"
    for _ in tqdm(range(3), "outer", file=sys.stderr, bar_format=bar, mininterval=0):
        for _ in tqdm(range(2), "inner", file=sys.stderr, bar_format=bar, mininterval=0, leave=False):
            pass
