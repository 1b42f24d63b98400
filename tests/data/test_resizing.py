"""Sizes that are drawn, against what Intel's Caffe does with the same numbers."""

from __future__ import annotations

import math
from collections import Counter

import cv2
import numpy as np
import pytest

from segcaffe.data.transformer import Transformer
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def make(options: str, phase: int = caffe_pb2.TEST) -> Transformer:
    param = parse(options, caffe_pb2.TransformationParameter(), "test")
    return Transformer(param, phase, "layer", np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("upright", [False, True])
def test_the_shorter_side_becomes_a_number(upright: bool) -> None:
    image = IMAGE.transpose(1, 0, 2) if upright else IMAGE
    transformer = make(
        "crop_size: 30 random_resize_param { min_size: 50 max_size: 50 resize_param { interp_mode: CUBIC } }"
    )
    size = (50, 75) if upright else (75, 50)
    whole = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_CUBIC)
    top, left = (whole.shape[0] - 30) // 2, (whole.shape[1] - 30) // 2
    expected = whole[top : top + 30, left : left + 30].transpose(2, 0, 1)
    np.testing.assert_array_equal(transformer.image(image, rng()), expected)
    # Arrays that are stored as they are, too.
    np.testing.assert_array_equal(transformer.datum(image.transpose(2, 0, 1), rng()), expected)


def test_sizes_are_drawn_between_the_ends() -> None:
    transformer = make("crop_size: 30 random_resize_param { min_size: 44 max_size: 46 }")
    sizes = Counter(transformer.resizing(IMAGE, rng(seed)).shape[:2] for seed in range(60))
    assert set(sizes) == {(44, 66), (45, 67), (46, 69)}
    assert min(sizes.values()) > 8
    # Unless they are given, the ends are the image's own sides.
    own = {make("crop_size: 9 random_resize_param { }").resizing(IMAGE, rng(seed)).shape[0] for seed in range(400)}
    assert own == set(range(40, 61))


def test_a_part_of_another_shape_is_stretched_to_the_crop() -> None:
    options = "min_area_ratio: 0.2 max_area_ratio: 0.5 aspect_ratio_change: 0.75"
    transformer = make(f"crop_size: 24 random_aspect_ratio_param {{ {options} }}")
    ramp = np.zeros((40, 60, 2), np.float32)
    ramp[..., 0], ramp[..., 1] = np.arange(40)[:, None], np.arange(60)
    areas = []
    for seed in range(100):
        part = transformer.resizing(ramp, rng(seed))
        assert part.shape == (24, 24, 2)
        # One pixel of the crop is as many rows and columns of the part as the ramps rise.
        rows, columns = (float(np.median(np.diff(part[..., i], axis=i))) * 24 for i in (0, 1))
        areas.append(rows * columns / 2400)
        assert 0.75**2 - 0.08 < rows / columns < 0.75**-2 + 0.15
    assert 0.17 < min(areas) < 0.24
    assert 0.44 < max(areas) < 0.53


def test_where_no_part_fits_the_shorter_side_becomes_the_crop() -> None:
    options = "min_area_ratio: 1 max_area_ratio: 1 aspect_ratio_change: 0.5 max_attempt: 3"
    transformer = make(f"crop_size: 20 random_aspect_ratio_param {{ {options} }}")
    sizes = {transformer.resizing(IMAGE, rng(seed)).shape[:2] for seed in range(30)}
    assert (20, 30) in sizes
    assert sizes <= {(20, 30), (20, 20)}


def test_one_of_several_ways_is_drawn() -> None:
    modes = "interp_mode: NEAREST interp_mode: AREA"
    transformer = make(f"crop_size: 9 random_resize_param {{ min_size: 10 max_size: 10 resize_param {{ {modes} }} }}")
    expected = [cv2.resize(IMAGE, (15, 10), interpolation=mode) for mode in (cv2.INTER_NEAREST, cv2.INTER_AREA)]
    found = {
        next(i for i, image in enumerate(expected) if np.array_equal(image, transformer.resizing(IMAGE, rng(seed))))
        for seed in range(20)
    }
    assert found == {0, 1}


def test_images_stay_as_they_are_without_these_options() -> None:
    assert make("crop_size: 9").resizing(IMAGE, rng()) is IMAGE
    assert math.prod(make("mirror: true").image(IMAGE, rng()).shape) == IMAGE.size


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("random_resize_param { min_size: 5 }", "need crop_size"),
        ("crop_h: 5 crop_w: 6 random_resize_param { }", "take one crop_size"),
        ("crop_size: 5 random_resize_param { min_size: 9 max_size: 8 }", "min_size <= max_size"),
        ("crop_size: 5 random_resize_param { max_size: 4000000000 }", "max_size <= "),
        ("crop_size: 5 random_aspect_ratio_param { min_area_ratio: 0 }", "0 < min_area_ratio"),
        ("crop_size: 5 random_aspect_ratio_param { min_area_ratio: nan }", "0 < min_area_ratio"),
        ("crop_size: 5 random_aspect_ratio_param { aspect_ratio_change: 2 }", "aspect_ratio_change above 0"),
    ],
)
def test_what_cannot_be(options: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        make(options)


def test_an_image_that_is_larger_than_the_largest_size() -> None:
    with pytest.raises(DataError, match="max_size must be min_size or more"):
        make("crop_size: 5 random_resize_param { min_size: 70 }").image(IMAGE, rng())
