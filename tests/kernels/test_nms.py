"""Suppression of boxes, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.detection.boxes import overlaps
from segcaffe.kernels import nms


@pytest.mark.parametrize("count", [0, 1, 7, 300])
@pytest.mark.parametrize("eta", [1.0, 0.95])
def test_one_box_after_the_other(count: int, eta: float) -> None:
    rng = np.random.default_rng(count)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4)
    shared = overlaps(corners, corners)
    kept: list[int] = []
    threshold = 0.7
    for i in range(count):
        if all(shared[i, k] <= threshold for k in kept):
            kept.append(i)
            threshold *= eta if threshold > 0.5 else 1
    stays = np.empty(count, np.bool_)
    nms.suppress(corners, 0.7, eta, stays)
    assert np.flatnonzero(stays).tolist() == kept
    nms.suppress(corners, 0.7, eta, stays, 3)
    assert np.flatnonzero(stays).tolist() == kept[:3]
    assert count < 2 or 0 < len(kept) < count or count < 10
