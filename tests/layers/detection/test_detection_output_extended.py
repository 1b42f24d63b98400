"""DetectionOutputExtended: the boxes of DetectionOutput, and where in the grid they come from."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase

HEIGHT, WIDTH, ANCHORS = 3, 4, 2
COUNT = HEIGHT * WIDTH * ANCHORS
OPTIONS = "num_classes: 2 code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 }"


def _inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.8, (COUNT, 2))
    priors = np.concatenate([low, low + rng.uniform(0.1, 0.2, (COUNT, 2))], axis=1).reshape(-1)
    both = np.stack([priors, np.full(COUNT * 4, 0.1)])[None]
    return rng.standard_normal((2, HEIGHT, WIDTH, 4 * ANCHORS)), rng.random((2, COUNT * 2)), both


def _rows(type_: str, options: str, inputs: tuple) -> np.ndarray:
    layer, bottom, top = LayerCase(type_, f"detection_output_param {{ {options} }}", inputs).build(dtype=np.float64)
    layer.forward(bottom, top)
    return np.array(top[0].data)[0, 0]


def test_places() -> None:
    locations, scores, priors = _inputs()
    rows = _rows("DetectionOutputExtended", OPTIONS + " background_label_id: 1", (locations, scores, priors))
    plain = _rows("DetectionOutput", OPTIONS, (locations.reshape(2, -1), scores, priors))
    assert rows.shape[1] == 10
    assert (rows[:, :7] == plain).all()
    assert len(rows) > 10
    for item, _, score, *_, anchor, column, row in rows:
        prior = int((row * WIDTH + column) * ANCHORS + anchor)
        assert 0 <= anchor < ANCHORS
        assert 0 <= column < WIDTH
        assert scores[int(item), 2 * prior + 1] == score


def test_nothing_found() -> None:
    rows = _rows("DetectionOutputExtended", OPTIONS + " confidence_threshold: 2", _inputs())
    assert rows.shape == (2, 10)
    assert (rows[:, 1:7] == -1).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("num_classes: 3", "num_classes must be 2"),
        ("num_classes: 2 share_location: false", "share_location true. Received: 2, share_location false"),
    ],
)
def test_options_refused(options: str, told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        _rows("DetectionOutputExtended", options, _inputs())


def test_locations_of_a_grid() -> None:
    locations, *rest = _inputs()
    with pytest.raises(SegcaffeError, match=r"must be \(N, H, W, 4 A\)"):
        _rows("DetectionOutputExtended", OPTIONS, (locations.reshape(2, -1), *rest))
