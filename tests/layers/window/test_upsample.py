"""Upsample by the places of max pooling, and Pooling's second top that gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.testing import LayerCase
from tests.cases.window import CASES

Array = np.ndarray[Any, Any]
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 9 } } }
layer {
  name: "pool" type: "Pooling" bottom: "data" top: "pool" top: "places"
  pooling_param { kernel_size: 2 stride: 2 }
}
layer {
  name: "up" type: "Upsample" bottom: "pool" bottom: "places" top: "up"
  upsample_param { scale: 2 pad_out_h: true pad_out_w: true }
}
"""


def unpooled(x: Array, places: Array, height: int, width: int) -> Array:
    y = np.zeros((*x.shape[:2], height, width), x.dtype)
    for n, c, i, j in np.ndindex(x.shape):
        place = int(places[n, c, i, j])
        if place >= 0:
            y[n, c, place // width, place % width] = x[n, c, i, j]
    return y


@pytest.mark.parametrize("case", [c for c in CASES if c.type == "Upsample"], ids=lambda case: case.id)
def test_values_lie_at_their_places(case: LayerCase) -> None:
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, unpooled(bottom[0].data, bottom[1].data, *top[0].shape[2:]))


def test_pooled_maxima_go_back_to_where_they_were(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f"force_backward: true {NET}")
    net = caffe.Net(str(path), caffe.TRAIN)
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
    net.blobs["data"].data[...] = x
    net.forward()
    up = net.blobs["up"].data
    picked = up != 0
    assert up.shape == x.shape
    assert picked.sum() == net.blobs["pool"].count
    np.testing.assert_array_equal(up[picked], x[picked])
    net.blobs["up"].diff[...] = np.arange(up.size).reshape(up.shape)
    net.backward()
    np.testing.assert_array_equal(net.blobs["data"].diff, np.where(picked, net.blobs["up"].diff, 0))


def test_of_several_values_with_one_place_the_last_counts_and_each_has_the_gradient() -> None:
    x = np.float32([1, 2, 3, 4]).reshape(1, 1, 1, 4)
    case = LayerCase("Upsample", "upsample_param { upsample_h: 2 upsample_w: 3 }", (x, x * 0 + [[[[5, 1, 5, -1]]]]))
    layer, bottom, top = case.build()
    layer.forward(bottom, top)
    np.testing.assert_array_equal(top[0].data, np.float32([0, 2, 0, 0, 0, 3]).reshape(1, 1, 2, 3))
    top[0].diff[...] = np.arange(1, 7).reshape(1, 1, 2, 3)
    layer.backward(top, [True, False], bottom)
    np.testing.assert_array_equal(bottom[0].diff.ravel(), [6, 2, 6, 0])


@pytest.mark.parametrize("place", [6, -2, 1e9, np.inf, np.nan])
def test_a_place_outside_the_top_is_told_of(place: float) -> None:
    x = np.zeros((1, 2, 1, 2), np.float32)
    places = x.copy()
    places[0, 1, 0, 0] = place
    layer, bottom, top = LayerCase("Upsample", "upsample_param { upsample_h: 2 upsample_w: 3 }", (x, places)).build()
    with pytest.raises(
        DataError, match=rf"place {place:g} \(number 2 of 4\).*2 x 3 pixels.*set upsample_h".replace("+", r"\+")
    ):
        layer.forward(bottom, top)


@pytest.mark.parametrize(
    ("options", "bottoms", "words"),
    [
        ("upsample_h: 4 upsample_w: 4", ((1, 1, 2, 2),), "second top. Received: upsample_h, upsample_w"),
        ("pad_out_h: true", ((1, 1, 2, 2),), "second top. Received: pad_out_h"),
        ("upsample_h: 4", ((1, 1, 2, 2),) * 2, "upsample_h and upsample_w together"),
        ("scale: 3 pad_out_w: true", ((1, 1, 2, 2),) * 2, "pad_out_w is for a scale of 2. Received: scale 3"),
        ("scale: 0", ((1, 1, 2, 2),) * 2, "factor must be 1 or more"),
        ("scale: 2", ((1, 1, 2, 2), (1, 1, 2, 3)), "of one shape"),
        ("scale: 2", ((1, 2, 2), (1, 2, 2)), "of one shape"),
    ],
)
def test_what_it_does_not_take(options: str, bottoms: tuple[tuple[int, ...], ...], words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("Upsample", f"upsample_param {{ {options} }}", bottoms).build()
