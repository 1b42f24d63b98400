"""Pooling over regions against the originals' rules written out one bin at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.errors import DataError, SegcaffeError
from segcaffe.testing import LayerCase

HEIGHT, WIDTH, SCALE = 9, 11, 0.5


def _inputs(channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(channels)
    rois = np.empty((30, 5))
    rois[:, 0] = rng.integers(0, 2, 30)
    rois[:, 1:3] = rng.uniform(-4, 20, (30, 2))
    rois[:, 3:] = rois[:, 1:3] + rng.uniform(-2, 16, (30, 2))
    # Halves: which way they are rounded decides.
    rois[:10, 1:] = np.round(rois[:10, 1:])
    return rng.standard_normal((2, channels, HEIGHT, WIDTH)), rois


def _top(type_: str, options: str, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, rois = _inputs(channels)
    layer, bottom, top = LayerCase(type_, options, (x, rois)).build(dtype=np.float64)
    layer.forward(bottom, top)
    return x, rois, top[0].data


def _round(value: float) -> int:
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def _values(plane: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> list[float]:
    top, bottom = (min(max(edge, 0), HEIGHT) for edge in rows)
    left, right = (min(max(edge, 0), WIDTH) for edge in columns)
    return plane[top:bottom, left:right].reshape(-1).tolist()


def test_maxima() -> None:
    x, rois, y = _top("ROIPooling", f"roi_pooling_param {{ pooled_h: 3 pooled_w: 4 spatial_scale: {SCALE} }}", 2)
    for r, (item, *corners) in enumerate(rois.tolist()):
        left, top, right, bottom = (_round(corner * SCALE) for corner in corners)
        high, wide = max(bottom - top + 1, 1) / 3, max(right - left + 1, 1) / 4
        for c in range(2):
            for p in range(3):
                for q in range(4):
                    rows = (math.floor(p * high) + top, math.ceil((p + 1) * high) + top)
                    columns = (math.floor(q * wide) + left, math.ceil((q + 1) * wide) + left)
                    values = _values(x[int(item), c], rows, columns)
                    assert y[r, c, p, q] == (max(values) if values else 0)


def test_means_of_their_own_maps() -> None:
    options = f"psroi_pooling_param {{ output_dim: 2 group_size: 3 spatial_scale: {SCALE} }}"
    x, rois, y = _top("PSROIPooling", options, 18)
    for r, (item, *corners) in enumerate(rois.tolist()):
        left, top = (_round(corner) * SCALE for corner in corners[:2])
        right, bottom = ((_round(corner) + 1) * SCALE for corner in corners[2:])
        high, wide = max(bottom - top, 0.1) / 3, max(right - left, 0.1) / 3
        for c in range(2):
            for p in range(3):
                for q in range(3):
                    rows = (math.floor(p * high + top), math.ceil((p + 1) * high + top))
                    columns = (math.floor(q * wide + left), math.ceil((q + 1) * wide + left))
                    values = _values(x[int(item), (c * 3 + p) * 3 + q], rows, columns)
                    assert y[r, c, p, q] == pytest.approx(sum(values) / max(len(values), 1))


def _bilinear(plane: np.ndarray, y: float, x: float) -> float:
    if not (-1 <= y <= HEIGHT and -1 <= x <= WIDTH):
        return 0.0
    y, x = min(max(y, 0), HEIGHT - 1), min(max(x, 0), WIDTH - 1)
    i, j = int(y), int(x)
    below, right = min(i + 1, HEIGHT - 1), min(j + 1, WIDTH - 1)
    b, a = y - i, x - j
    above = plane[i, j] * (1 - a) + plane[i, right] * a
    return float(above * (1 - b) + (plane[below, j] * (1 - a) + plane[below, right] * a) * b)


def test_samples_between_pixels() -> None:
    x, rois, y = _top("ROIAlign", f"roi_align_param {{ pooled_h: 3 pooled_w: 4 spatial_scale: {SCALE} }}", 2)
    for r, (item, *corners) in enumerate(rois.tolist()):
        left, top, right, bottom = (corner * SCALE for corner in corners)
        high, wide = max(bottom - top, 1) / 3, max(right - left, 1) / 4
        for c in range(2):
            for p in range(3):
                for q in range(4):
                    samples = [
                        _bilinear(x[int(item), c], top + (p + s) * high, left + (q + t) * wide)
                        for s in (0.25, 0.75)
                        for t in (0.25, 0.75)
                    ]
                    assert y[r, c, p, q] == pytest.approx(sum(samples) / 4, abs=1e-9)


@pytest.mark.parametrize("samples", [1, 3, 0])
@pytest.mark.parametrize("sensitive", [False, True])
def test_other_numbers_of_samples(samples: int, sensitive: bool) -> None:
    options = f"sampling_ratio: {samples} position_sensitive: {str(sensitive).lower()}"
    options = f"roi_align_param {{ pooled_h: 3 pooled_w: 2 spatial_scale: {SCALE} {options} }}"
    x, rois, y = _top("ROIAlign", options, 12)
    assert y.shape == (30, 2 if sensitive else 12, 3, 2)
    for (r, c, p, q), value in np.ndenumerate(y):
        item, *corners = rois[r].tolist()
        left, top, right, bottom = (corner * SCALE for corner in corners)
        high, wide = max(bottom - top, 1) / 3, max(right - left, 1) / 2
        rows, columns = samples or math.ceil(high), samples or math.ceil(wide)
        values = [
            _bilinear(
                x[int(item), (c * 3 + p) * 2 + q if sensitive else c], top + (p + s) * high, left + (q + t) * wide
            )
            for s in ((i + 0.5) / rows for i in range(rows))
            for t in ((i + 0.5) / columns for i in range(columns))
        ]
        assert value == pytest.approx(sum(values) / len(values), abs=1e-9)


def test_options_of_pooling() -> None:
    options = f"{{ pooled_h: 3 pooled_w: 2 spatial_scale: {SCALE} }}"
    one, other = (_top("ROIAlign", f"{field} {options}", 2)[2] for field in ("roi_align_param", "roi_pooling_param"))
    assert (one == other).all()


@pytest.mark.parametrize(
    ("type_", "options", "sentence"),
    [
        ("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 2 sampling_ratio: 65 }", "sampling_ratio must be 64 at"),
        ("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 2 position_sensitive: true }", "multiple of the 4 bins"),
        ("ROIPooling", "roi_pooling_param { pooled_h: 3 }", "at least 1 each way"),
        ("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 5000 }", "4096 at most"),
        ("ROIPooling", "roi_pooling_param { pooled_size: 3 spatial_scale: 0 }", "spatial_scale must be above 0"),
        ("PSROIPooling", "psroi_pooling_param { output_dim: 1 group_size: 2 spatial_scale: 1 }", "= 4 maps"),
        ("PSROIPooling", "psroi_pooling_param { group_size: 2 spatial_scale: 1 }", "output_dim must be at least 1"),
    ],
)
def test_what_is_refused(type_: str, options: str, sentence: str) -> None:
    with pytest.raises(SegcaffeError, match=sentence):
        LayerCase(type_, options, _inputs(2)).build()


@pytest.mark.parametrize("bad", [2, -1, float("nan")])
def test_regions_of_no_item(bad: float) -> None:
    x, rois = _inputs(2)
    rois[3, 0] = bad
    layer, bottom, top = LayerCase("ROIPooling", "roi_pooling_param { pooled_size: 2 }", (x, rois)).build()
    with pytest.raises(DataError, match="number of an item of the batch, 0 to 1"):
        layer.forward(bottom, top)
