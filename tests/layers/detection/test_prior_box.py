"""PriorBox and PriorBoxClustered against their rules written out one box at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

GRID, IMAGE = (1, 2, 3, 4), (1, 3, 31, 45)


def _top(type_: str, options: str) -> np.ndarray:
    layer, bottom, top = LayerCase(type_, f"prior_box_param {{ {options} }}", (GRID, IMAGE)).build()
    layer.forward(bottom, top)
    return top[0].data.reshape(2, -1, 4)


def _expected(sizes: list[tuple[float, float]], step: tuple[float, float], offset: float) -> list[list[float]]:
    rows = []
    for h in range(3):
        for w in range(4):
            x, y = (w + offset) * step[1], (h + offset) * step[0]
            rows += [[(x - a / 2) / 45, (y - b / 2) / 31, (x + a / 2) / 45, (y + b / 2) / 31] for a, b in sizes]
    return rows


@pytest.mark.parametrize("flip", [True, False])
def test_one_box_at_a_time(flip: bool) -> None:
    options = "min_size: 9.5 max_size: 17 min_size: 4 max_size: 5 aspect_ratio: 3 aspect_ratio: 1 aspect_ratio: 3"
    found = _top("PriorBox", f"{options} flip: {str(flip).lower()} clip: false variance: 0.3")
    sizes = []
    for s, m in ((9.5, 17), (4, 5)):
        sizes += [(s, s), (math.sqrt(s * m), math.sqrt(s * m)), (s * math.sqrt(3), s / math.sqrt(3))]
        sizes += [(s / math.sqrt(3), s * math.sqrt(3))] if flip else []
    np.testing.assert_allclose(found[0], _expected(sizes, (31 / 3, 45 / 4), 0.5), rtol=1e-5)
    np.testing.assert_allclose(found[1], 0.3)


def test_clustered() -> None:
    found = _top(
        "PriorBoxClustered", "width: 3 width: 12 height: 8 height: 5.5 step_h: 7 step_w: 9 offset: 1 clip: false"
    )
    np.testing.assert_allclose(found[0], _expected([(3, 8), (12, 5.5)], (7, 9), 1), rtol=1e-5)
    np.testing.assert_allclose(found[1], 0.1)


def test_clipped_unless_told_otherwise() -> None:
    free = _top("PriorBox", "min_size: 30 clip: false")[0]
    assert free.min() < 0 < 1 < free.max()
    for options in ("min_size: 30", "min_size: 30 clip: true"):
        np.testing.assert_array_equal(_top("PriorBox", options)[0], free.clip(0, 1))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "min_size must be given"),
        ("min_size: -1", "min_size must be given"),
        ("min_size: 5 max_size: 4", "max_size above each min_size"),
        ("min_size: 5 min_size: 6 max_size: 9", "max_size above each min_size"),
        ("min_size: 5 aspect_ratio: 0", "aspect_ratio must be above 0"),
        ("min_size: 5 variance: 0", "variance is one number above 0"),
        ("min_size: 5 variance: 1 variance: 1", "variance is one number above 0"),
        ("min_size: 5 img_size: 3 img_h: 3", "either prior_box_param.img_size or img_h"),
        ("min_size: 5 img_h: 3", "img_h and img_w must be above 0"),
        ("min_size: 5 step: -1", "prior_box_param.step must be above 0"),
    ],
)
def test_what_is_refused(options: str, sentence: str) -> None:
    with pytest.raises(SegcaffeError, match=sentence):
        _top("PriorBox", options)
    with pytest.raises(SegcaffeError, match="second bottom"):
        LayerCase("PriorBox", "prior_box_param { min_size: 5 }", (GRID,)).build()
