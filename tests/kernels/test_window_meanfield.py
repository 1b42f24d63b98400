"""How the rows of symmetric windows are divided into work."""

from __future__ import annotations

from itertools import pairwise

import pytest

from segcaffe.kernels.window_meanfield.layout import Grid, pair_of_rows


@pytest.mark.parametrize("down", [1, 2, 5, 9, 40])
@pytest.mark.parametrize("height", [1, 2, 9, 17, 36])
def test_every_row_is_taken_once_and_neighbours_follow_each_other(height: int, down: int) -> None:
    images, each = 2, -(-height // (2 * down)) * down
    items = [pair_of_rows.py_func(item, Grid(height, 16, 32, 32, 16, 48), down) for item in range(images * each)]
    rows = [(n, row) for n, y in items for row in (y, y + down) if row < height]
    assert sorted(rows) == [(n, y) for n in range(images) for y in range(height)]
    for (n, y), (m, z) in pairwise(items):
        assert (m, z) == (n, y + 2 * down) or (n, y % down) != (m, z % down)
