"""``benchmarks.segawarify``: a row of its table."""

from __future__ import annotations

import pytest

from benchmarks.segawarify import BEGIN, END, HEADER, row, written


def test_rows_are_replaced_in_their_place() -> None:
    page = f"before\n{BEGIN}{HEADER}| LeNet, 64 x 28² | 1 |\n| FCN-32s, 224² | 2 |\n{END}after\n"
    again = written(
        page, {"LeNet, 64 x 28²": "| LeNet, 64 x 28² | 3 |\n", "ResNet-50, 224²": "| ResNet-50, 224² | 4 |\n"}
    )
    rows = "| LeNet, 64 x 28² | 3 |\n| ResNet-50, 224² | 4 |\n| FCN-32s, 224² | 2 |\n"
    assert again == f"before\n{BEGIN}{HEADER}{rows}{END}after\n"


@pytest.mark.slow
def test_a_row() -> None:
    cells = row("tiny plain, 145²", runs=1).split("|")
    assert len(cells) == len(HEADER.splitlines()[0].split("|"))
    plain, _, written_out = (float(cells[i].replace(",", "")) for i in (7, 8, 9))
    assert cells[2].strip() == "5"
    assert 0 < plain < written_out
