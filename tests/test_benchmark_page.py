"""Scripts of measurements put their rows into pages and leave the rest alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page


def test_rows_replace_those_of_their_name_and_others_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCS", tmp_path)
    path = tmp_path / "speed.md"
    table = f"| row | ms |\n|---|---|\n| a | 1 |\n| b | 2 |\n\n{page.END}\n"
    path.write_text(f"# Speed\n\n<!-- first -->\n\n{table}\nText.\n\n<!-- first --memory -->\n\n{page.END}\n")
    page.write_rows("speed", "first", ["| a | 3 |", "| c | 4 |"])
    found = path.read_text()
    assert f"| a | 3 |\n| b | 2 |\n| c | 4 |\n\n{page.END}\n\nText.\n" in found
    assert found.endswith(f"<!-- first --memory -->\n\n{page.END}\n")
    with pytest.raises(SystemExit, match="no place for this table"):
        page.write_rows("speed", "second", ["| a | 3 |"])
