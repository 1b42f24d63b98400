"""Whole numbers of more digits than Python reads: a sentence wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli import classify, common
from segcaffe.convert import formats
from segcaffe.convert.definition import read_definition
from segcaffe.data.lists import read_list
from segcaffe.data.palettes import read_palette
from segcaffe.errors import SegcaffeError
from segcaffe.text.digits import whole_number

LONG = "9" * 5000


@pytest.mark.parametrize("text", ["", "-1", "1.0", "²", "٣", " 1", "1_0", "0x1", LONG, "1" * 19])
def test_what_is_no_whole_number(text: str) -> None:
    assert whole_number(text) is None


def test_whole_numbers() -> None:
    assert [whole_number(text) for text in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]


OPTIONS: list[Callable[[str], object]] = [
    lambda text: classify.numbers(text, "--images_dim"),
    lambda text: common.size(f"{text}x3", "--size"),
]


@pytest.mark.parametrize("text", [LONG, "²"])
@pytest.mark.parametrize("read", OPTIONS)
def test_options(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(SegcaffeError):
        read(text)


@pytest.mark.parametrize("field", ["dim: {}", "phase: {}"])
def test_prototxt(tmp_path: Path, field: str) -> None:
    inside = field.format(LONG)
    text = f"input_shape {{ {inside} }}" if "dim" in field else f"layer {{ {inside} }}"
    (tmp_path / "net.prototxt").write_text(text)
    with pytest.raises(SegcaffeError, match=r"net\.prototxt:1:"):
        read_definition(tmp_path / "net.prototxt")


def test_names_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{"ip/" + "9" * 200: np.zeros(1)})
    with pytest.raises(SegcaffeError, match="arrays are called <layer>/<index>"):
        formats.load(tmp_path / "x.npz")


def test_palettes_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text(f"1 2 {LONG}\n")
    with pytest.raises(SegcaffeError, match="integers 0 to 255"):
        read_palette(str(path))
    assert re.match("1 2 9", next(iter(read_list(str(path), "x"))).text)
