"""DetectionEvaluate: its rows, and the file of sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

TRUE = np.array(
    [
        [0, 1, 0, 0.0, 0.0, 0.5, 0.5, 0],
        [0, 2, 0, 0.5, 0.5, 1.0, 1.0, 1],
        [2, 1, 0, 0.2, 0.2, 0.6, 0.6, 0],
        [-1, -1, -1, -1, -1, -1, -1, -1],
    ]
).reshape(1, 1, 4, 8)
FOUND = np.array(
    [
        [0, 1, 0.5, 0.0, 0.0, 0.5, 0.4],
        [0, 1, 0.9, 0.0, 0.0, 0.5, 0.45],
        [0, 2, 0.8, 0.5, 0.5, 1.0, 1.0],
        [1, 2, 0.7, 0.5, 0.5, 1.0, 1.0],
        [2, -1, -1, -1, -1, -1, -1],
    ]
).reshape(1, 1, 5, 7)


def _rows(options: str) -> list[list[float]]:
    case = LayerCase("DetectionEvaluate", f"detection_evaluate_param {{ num_classes: 3 {options} }}", (FOUND, TRUE))
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    return top[0].data[0, 0].astype(float).round(3).tolist()


def test_rows() -> None:
    assert _rows("") == [
        [-1, 1, 2, -1, -1],
        [-1, 2, 1, -1, -1],
        [0, 1, 0.9, 1, 0],
        [0, 1, 0.5, 0, 1],
        [0, 2, 0.8, 1, 0],
        [1, 2, 0.7, 0, 1],
    ]


def test_difficult_boxes_do_not_count() -> None:
    rows = _rows("evaluate_difficult_gt: false")
    assert rows[1] == [-1, 2, 0, -1, -1]
    assert rows[4] == [0, 2, 0.8, 0, 0]


def test_overlaps_of_pixels(tmp_path: Path) -> None:
    """In an image of 4 x 4 pixels boxes with their borders are 3 x 3 and 3 x 2.6: they overlap by 0.87, not by 0.8."""
    (tmp_path / "sizes.txt").write_text("one 4 4\n\ntwo 8 8\nthree 4 4\n")
    options = f'name_size_file: "{tmp_path}/sizes.txt" overlap_threshold: 0.86'
    found = FOUND.copy()
    found[0, 0, 1, 6] = 0.4
    case = LayerCase("DetectionEvaluate", f"detection_evaluate_param {{ num_classes: 3 {options} }}", (found, TRUE))
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    assert top[0].data[0, 0, 2].tolist() == pytest.approx([0, 1, 0.9, 1, 0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("num_classes: 0", "num_classes must be given"),
        ("num_classes: 2 overlap_threshold: 0", "overlap_threshold must be above 0"),
        ('num_classes: 2 name_size_file: "nowhere"', "must be a readable file of lines"),
    ],
)
def test_what_is_refused(options: str, sentence: str) -> None:
    case = LayerCase("DetectionEvaluate", f"detection_evaluate_param {{ {options} }}", (FOUND, TRUE))
    with pytest.raises(SegcaffeError, match=sentence):
        case.build()
