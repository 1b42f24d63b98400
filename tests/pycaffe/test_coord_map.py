"""Coordinate maps, checked against nets that move a single bright pixel, and against what is known of FCNs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe.pycaffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map_from_to,
    crop,
    inverse,
)
from segcaffe.pycaffe.net_spec import NetSpec
from segcaffe.pycaffe.net_spec import layers as L  # noqa: N812


def data() -> Any:
    return L.Input(input_param={"shape": {"dim": [2, 3, 100, 100]}})


def conv(bottom: Any, **options: Any) -> Any:
    return L.Convolution(bottom, num_output=10, **options)


def deconv(bottom: Any, **options: Any) -> Any:
    return L.Deconvolution(bottom, convolution_param={"num_output": 10, **options})


def offset_of(top: Any, reference: Any) -> float:
    axis, scale, offset = coord_map_from_to(top, reference)
    assert axis in (None, 1)
    assert (scale == 1).all()
    return float(offset[0])


def test_no_layer_moves_nothing() -> None:
    top = data()
    assert offset_of(top, top) == 0
    assert offset_of(L.ReLU(L.Dropout(top)), top) == 0


@pytest.mark.parametrize(("kernel", "pad", "dilation"), [(3, 0, 1), (3, 1, 1), (5, 2, 1), (3, 2, 2), (7, 100, 1)])
def test_convolution_shifts_by_half_its_extent(kernel: int, pad: int, dilation: int) -> None:
    top = data()
    moved = conv(top, kernel_size=kernel, pad=pad, dilation=dilation)
    assert offset_of(moved, top) == (kernel - 1) * dilation / 2 - pad


def test_crop_cuts_what_padding_added() -> None:
    n: Any = NetSpec()
    n.data = data()
    n.conv = conv(n.data, kernel_size=3, pad=100)
    n.up = deconv(L.Pooling(n.conv, kernel_size=1, stride=2), kernel_size=3, stride=2)
    n.crop = crop(n.up, n.data)
    message = n.to_proto().layer[-1]
    assert list(message.bottom) == ["up", "data"]
    assert message.crop_param.axis == 2
    # The convolution starts 99 pixels before the image, the deconvolution adds one more.
    assert list(message.crop_param.offset) == [100]


def test_pooling_and_deconvolution_undo_each_other() -> None:
    top = data()
    pooled = L.Pooling(top, kernel_size=2, stride=2)
    up = deconv(pooled, kernel_size=2, stride=2)
    assert offset_of(up, top) == 0
    _, scale, offset = coord_map_from_to(pooled, top)
    np.testing.assert_allclose([scale[0], offset[0]], [2, 0.5])


def test_crops_count_too() -> None:
    top = data()
    cut = L.Crop(top, top, crop_param={"axis": 2, "offset": [3]})
    assert offset_of(cut, top) == 3
    assert offset_of(conv(cut, kernel_size=3), top) == 4


def test_both_axes_may_differ() -> None:
    top = data()
    _, _, offset = coord_map_from_to(conv(top, kernel_size=[3, 5], pad=[1, 0]), top)
    np.testing.assert_allclose(offset, [0, 2])


def test_branches_meet_at_their_ancestor() -> None:
    stem = conv(data(), kernel_size=3)
    assert offset_of(conv(stem, kernel_size=5), L.ReLU(stem)) == 2
    assert offset_of(L.ReLU(stem), conv(stem, kernel_size=5)) == -2


def test_maps_form_a_group() -> None:
    a = (1, np.array([2.0]), np.array([3.0]))
    b = (None, np.array([0.5]), np.array([1.0]))
    _, scale, offset = compose(a, inverse(a))
    np.testing.assert_allclose([scale[0], offset[0]], [1, 0])
    axis, scale, offset = compose(a, b)
    np.testing.assert_allclose([axis, scale[0], offset[0]], [1, 1, 5])
    with pytest.raises(AxisMismatchException, match="axes 1 and 2"):
        compose(a, (2, np.ones(1), np.zeros(1)))


def test_what_has_no_map_says_so() -> None:
    top = data()
    with pytest.raises(UndefinedMapException, match="no common ancestor"):
        coord_map_from_to(L.InnerProduct(top, num_output=3), top)
    with pytest.raises(UndefinedMapException, match="no common ancestor"):
        coord_map_from_to(top, data())
    with pytest.raises(UndefinedMapException, match="same scale"):
        crop(conv(top, kernel_size=1, stride=2), top)
    with pytest.raises(UndefinedMapException, match="not negative"):
        crop(conv(top, kernel_size=3), top)
    with pytest.raises(UndefinedMapException, match="whole"):
        crop(conv(top, kernel_size=2, pad=1), top)
    with pytest.raises(UndefinedMapException, match="no common ancestor"):
        crop(L.Convolution(top, num_output=1, kernel_h=3, kernel_w=3), top)


def test_a_depthwise_convolution_moves_as_another_does() -> None:
    top = data()
    options = {"convolution_param": {"kernel_size": 5, "pad": 1}}
    assert offset_of(L.DepthwiseConvolution(top, **options), top) == 1
    assert offset_of(L.ConvolutionDepthwise(top, **options), top) == 1
