"""``benchmarks.segawarify``: a row of its table."""

from __future__ import annotations

import pytest

from benchmarks.segawarify import HEADER, row


@pytest.mark.slow
def test_a_row() -> None:
    cells = row("tiny plain, 145²", runs=1).split("|")
    assert len(cells) == len(HEADER.splitlines()[0].split("|"))
    plain, _, written_out = (float(cells[i].replace(",", "")) for i in (7, 8, 9))
    assert cells[2].strip() == "5"
    assert 0 < plain < written_out
