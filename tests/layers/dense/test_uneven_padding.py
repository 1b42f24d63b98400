"""Padding that differs from side to side: as if the image had been padded before."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase

SHAPE = (2, 4, 9, 11)
SIDES = [(0, 0, 1, 1), (1, 1, 0, 0), (2, 0, 1, 3), (0, 3, 0, 0)]


@pytest.mark.parametrize(
    "options",
    [
        "kernel_size: 3",
        "kernel_size: 3 stride: 2",
        "kernel_size: 1",
        "kernel_size: 1 stride: 2",
        "kernel_size: 3 dilation: 2",
        "kernel_size: 3 group: 4 stride: 2",
    ],
)
@pytest.mark.parametrize("sides", SIDES)
def test_convolution(options: str, sides: tuple[int, int, int, int]) -> None:
    t, left, b, r = sides
    image = np.random.default_rng(0).standard_normal(SHAPE)
    padded = np.pad(image, ((0, 0), (0, 0), (t, b), (left, r)))
    given = f"pad_t: {t} pad_l: {left} pad_b: {b} pad_r: {r}"
    (uneven, x, y), (even, big, expected) = (
        LayerCase("Convolution", f"convolution_param {{ num_output: 8 {options} {more} }}").build(np.float64, [values])
        for more, values in ((given, image), ("", padded))
    )
    for i, blob in enumerate(even.blobs):
        blob.data[...] = np.random.default_rng(i).standard_normal(blob.shape)
        uneven.blobs[i].data[...] = blob.data
    for layer, bottom, top in ((uneven, x, y), (even, big, expected)):
        layer.forward(bottom, top)
        top[0].diff[...] = np.random.default_rng(9).standard_normal(top[0].shape)
        layer.backward(top, [True], bottom)
    np.testing.assert_allclose(y[0].data, expected[0].data, atol=1e-12)
    inside = big[0].diff[:, :, t : t + SHAPE[2], left : left + SHAPE[3]]
    np.testing.assert_allclose(x[0].diff, inside, atol=1e-12)
    for mine, theirs in zip(uneven.blobs, even.blobs, strict=True):
        np.testing.assert_allclose(mine.diff, theirs.diff, atol=1e-10)


@pytest.mark.parametrize("sides", SIDES)
def test_deconvolution_cuts_off_what_is_padding(sides: tuple[int, int, int, int]) -> None:
    t, left, b, r = sides
    image = np.random.default_rng(0).standard_normal(SHAPE)
    given = f"pad_t: {t} pad_l: {left} pad_b: {b} pad_r: {r}"
    options = "num_output: 3 kernel_size: 4 stride: 2"
    cases = [LayerCase("Deconvolution", f"convolution_param {{ {options} {more} }}") for more in (given, "")]
    (cut, x, y), (whole, big, expected) = (case.build(np.float64, [image]) for case in cases)
    whole.blobs[0].data[...] = np.random.default_rng(1).standard_normal(whole.blobs[0].shape)
    cut.blobs[0].data[...] = whole.blobs[0].data
    for layer, bottom, top in ((cut, x, y), (whole, big, expected)):
        layer.forward(bottom, top)
    rows, columns = expected[0].shape[2:]
    np.testing.assert_allclose(y[0].data, expected[0].data[:, :, t : rows - b, left : columns - r], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "value"), [("kstride", "2"), ("dilation_h: 2 dilation_w", "2"), ("dilation", "[2, 2]")]
)
def test_names_of_dilation(name: str, value: str) -> None:
    case = LayerCase("Convolution", f"convolution_param {{ num_output: 1 kernel_size: 3 {name}: {value} }}", (SHAPE,))
    assert case.build()[2][0].shape == (2, 1, 5, 7)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("pad: 1 pad_t: 1", "either pad or pad_t, pad_l, pad_b, pad_r may be given"),
        ("kstride: 2 dilation: 2", "the dilation may be given under one name"),
    ],
)
def test_errors(options: str, expected: str) -> None:
    with pytest.raises(ShapeError, match=expected):
        LayerCase("Convolution", f"convolution_param {{ num_output: 1 kernel_size: 3 {options} }}", (SHAPE,)).build()
