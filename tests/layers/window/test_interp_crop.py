"""Interp and Crop against loops over pixels, and their errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def run(case: LayerCase, inputs, dtype=np.float64):
    layer, bottom, top = case.build(dtype, inputs)
    layer.forward(bottom, top)
    top[0].diff[...] = np.linspace(-1, 1, top[0].count).reshape(top[0].shape)
    bottom[0].diff[...] = np.nan
    layer.backward(top, [True] + [False] * (len(bottom) - 1), bottom)
    return top[0], bottom[0].diff


@pytest.mark.parametrize(
    ("options", "size", "out_size"),
    [
        ("height: 9 width: 12", (5, 7), (9, 12)),
        ("height: 4 width: 3", (9, 11), (4, 3)),
        ("height: 1 width: 1", (4, 5), (1, 1)),
        ("height: 6 width: 5", (1, 1), (6, 5)),
        ("zoom_factor: 3", (4, 5), (10, 13)),
        ("zoom_factor: 1", (4, 5), (4, 5)),
        ("shrink_factor: 2", (7, 8), (4, 4)),
        ("shrink_factor: 3 zoom_factor: 2", (10, 12), (7, 7)),
        ("height: 7 width: 8 zoom_factor: 2", (4, 5), (7, 9)),
        ("height: 7 width: 8 zoom_factor: 2 shrink_factor: 3", (4, 5), (7, 8)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (8, 9), (9, 11)),
        ("height: 5 width: 4 pad_end: -3", (8, 9), (5, 4)),
    ],
)
def test_interp_weighs_the_four_pixels_around(options: str, size, out_size) -> None:
    image = np.random.default_rng(0).standard_normal((2, 3, *size))
    case = LayerCase("Interp", f"interp_param {{ {options} }}")
    top, gradient = run(case, [image])
    assert top.shape[2:] == out_size
    options_read = case.layer_param().interp_param
    beg, end = -options_read.pad_beg, -options_read.pad_end
    inner = [n - beg - end for n in size]
    expected = np.zeros(image.shape)
    for o in itertools.product(*map(range, out_size)):
        total = np.zeros((2, 3))
        place = [
            np.float32(i) * (np.float32(n - 1) / np.float32(m - 1)) if m > 1 else np.float32(0)
            for i, n, m in zip(o, inner, out_size, strict=True)
        ]
        for corner in itertools.product((0, 1), (0, 1)):
            low = [int(p) for p in place]
            pixel = [min(a + c, n - 1) + beg for a, c, n in zip(low, corner, inner, strict=True)]
            shares = [float(p - a) if c else 1 - float(p - a) for p, a, c in zip(place, low, corner, strict=True)]
            total += shares[0] * shares[1] * image[(..., *pixel)]
            expected[(..., *pixel)] += shares[0] * shares[1] * top.diff[(..., *o)]
        np.testing.assert_allclose(top.data[(..., *o)], total, atol=1e-7)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_interp_to_the_size_of_a_blob() -> None:
    image, like = np.random.default_rng(0).standard_normal((2, 3, 6, 7)), np.zeros((1, 9, 11, 4))
    crop = "pad_beg: -1 zoom_factor: 3 height: 2 width: 2"
    case = LayerCase("Interp", f"interp_param {{ use_blob_size: true {crop} }}", (image, like))
    found, gradient = run(case, [image, like])
    case = LayerCase("Interp", "interp_param { pad_beg: -1 height: 11 width: 4 }", (image,))
    expected, its_gradient = run(case, [image])
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_array_equal(found.diff, expected.diff)
    np.testing.assert_array_equal(gradient, its_gradient)


def test_interp_keeps_labels_at_whole_steps() -> None:
    labels = np.random.default_rng(0).choice([0, 7, 20, 255], (1, 1, 641, 641)).astype(np.float32)
    top, _ = run(LayerCase("Interp", "interp_param { shrink_factor: 8 }"), [labels], np.float32)
    np.testing.assert_array_equal(top.data, labels[:, :, ::8, ::8])
    constant = np.full((1, 1, 41, 41), 255, np.float32)
    top, _ = run(LayerCase("Interp", "interp_param { height: 333 width: 500 }"), [constant], np.float32)
    assert (top.data == 255).all()


@pytest.mark.parametrize(
    ("options", "shape", "like", "part"),
    [
        ("", (2, 3, 7, 8), (2, 3, 4, 5), np.s_[:, :, :4, :5]),
        ("crop_param { offset: 2 }", (2, 3, 7, 8), (9, 9, 4, 5), np.s_[:, :, 2:6, 2:7]),
        ("crop_param { axis: 1 offset: 0 offset: 1 offset: 3 }", (2, 3, 7, 8), (2, 2, 4, 5), np.s_[:, :2, 1:5, 3:8]),
        ("crop_param { axis: -1 offset: 3 }", (2, 3, 7, 8), (2, 3, 7, 5), np.s_[..., 3:8]),
        ("crop_param { axis: 0 offset: 1 }", (4, 5), (3, 2), np.s_[1:4, 1:3]),
    ],
)
def test_crop_copies_a_part(options: str, shape, like, part) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    top, gradient = run(LayerCase("Crop", options, (shape, like)), [values, np.zeros(like)])
    np.testing.assert_array_equal(top.data, values[part])
    expected = np.zeros(shape)
    expected[part] = top.diff
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    ("type_name", "options", "bottoms", "message"),
    [
        ("Interp", "", ((1, 2, 4, 4),), "needs height and width"),
        ("Interp", "interp_param { height: 4 }", ((1, 2, 4, 4),), "needs height and width"),
        ("Interp", "interp_param { height: 4 width: 0 }", ((1, 2, 4, 4),), "needs height and width"),
        ("Interp", "interp_param { zoom_factor: 0 }", ((1, 2, 4, 4),), "factors must be 1 or more"),
        ("Interp", "interp_param { zoom_factor: 2 pad_beg: 1 }", ((1, 2, 4, 4),), "can only crop"),
        ("Interp", "interp_param { zoom_factor: 2 pad_beg: -4 }", ((1, 2, 4, 4),), "must leave a pixel"),
        ("Interp", "interp_param { zoom_factor: 2 }", ((2, 4, 4),), "4 axes"),
        ("Interp", "interp_param { zoom_factor: 2 }", ((1, 2, 4, 4),) * 2, "with use_blob_size and not without"),
        ("Interp", "interp_param { use_blob_size: true }", ((1, 2, 4, 4),), "with use_blob_size and not without"),
        ("Interp", "interp_param { use_blob_size: true }", ((1, 2, 4, 4), (4, 4)), "4 axes and a pixel"),
        ("Crop", "", ((1, 2, 4, 4), (1, 2, 4, 5)), "must lie inside the first bottom on axis 3"),
        (
            "Crop",
            "crop_param { offset: 1 }",
            ((1, 2, 4, 4), (1, 2, 4, 4)),
            "lie inside the first bottom on axis 2",
        ),
        ("Crop", "crop_param { axis: 1 offset: 1 offset: 1 }", ((1, 2, 4, 4), (1, 2, 2, 2)), "one for each of the 3"),
        ("Crop", "", ((1, 2, 4, 4), (4, 4)), "the same number of axes"),
        ("Crop", "crop_param { axis: 4 }", ((1, 2, 4, 4), (1, 2, 4, 4)), "axis must lie in"),
    ],
)
def test_options_and_shapes_that_break_a_rule(type_name: str, options: str, bottoms, message: str) -> None:
    with pytest.raises(SegcaffeError, match=message) as error:
        LayerCase(type_name, options, bottoms).build()
    assert f'layer "layer" ({type_name})' in str(error.value)
    assert "Received:" in str(error.value)
