"""DenseImageData: images and label maps stay aligned, labels stay labels."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.layers.source.dense_image_data import DenseImageData
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase

HEIGHT, WIDTH = 8, 12


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose blue channel is their label map; the working directory."""
    rng = np.random.default_rng(0)
    for i in range(3):
        labels = rng.integers(0, 250, (HEIGHT, WIDTH), np.uint8)
        cv2.imwrite(str(tmp_path / f"i{i}.png"), np.stack([labels, 0 * labels, 255 - labels], axis=-1))
        cv2.imwrite(str(tmp_path / f"l{i}.png"), labels)
    (tmp_path / "list.txt").write_text("".join(f"i{i}.png l{i}.png\n" for i in range(3)))
    monkeypatch.chdir(tmp_path)


def build(options: str = "", transform: str = "", phase: str = "TRAIN") -> tuple[DenseImageData, list[Blob]]:
    text = f'dense_image_data_param {{ source: "list.txt" batch_size: 2 {options} }} transform_param {{ {transform} }}'
    layer, _, top = LayerCase("DenseImageData", text, (), 2, phase).build()
    assert isinstance(layer, DenseImageData)
    return layer, top


def run(layer: DenseImageData, top: list[Blob], passes: int = 8) -> list[list[np.ndarray]]:
    batches = []
    for _ in range(passes):
        layer.forward([], top)
        batches.append([blob.data.copy() for blob in top])
    layer.close()
    return batches


def test_images_are_transformed_and_labels_are_as_stored() -> None:
    images, labels = run(*build(transform="mean_value: 10 scale: 0.5"), 1)[0]
    assert images.shape == (2, 3, HEIGHT, WIDTH)
    stored = np.stack([cv2.imread(f"l{i}.png", cv2.IMREAD_GRAYSCALE) for i in range(2)])
    np.testing.assert_array_equal(labels[:, 0], stored)
    np.testing.assert_array_equal(images[:, 0], (stored - np.float32(10)) / 2)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize(
    ("options", "transform"),
    [("crop_height: 5 crop_width: 6 mirror: true", ""), ("", "crop_size: 5 mirror: true"), ("mirror: true", "")],
)
def test_an_image_and_its_labels_are_cut_and_mirrored_alike(options: str, transform: str, phase: str) -> None:
    batches = run(*build(options, transform, phase))
    seen = set()
    for images, labels in batches:
        np.testing.assert_array_equal(images[:, :1], labels)
        seen |= {(float(item[0, 0, 0]), float(item[0, -1, -1])) for item in labels}
    assert len(seen) > 3, "no part, or no side, was drawn by chance"


def test_its_own_crop_is_anywhere_in_test_too() -> None:
    whole = [cv2.imread(f"l{i}.png", cv2.IMREAD_GRAYSCALE) for i in range(3)]
    corners = {
        float(labels[k, 0, 0, 0])
        for _, labels in run(*build("crop_height: 7 crop_width: 5", "", "TEST"))
        for k in (0, 1)
    }
    central = {float(image[0, 3]) for image in whole}
    assert corners - central


def test_sizes_change_by_the_nearest_label() -> None:
    images, labels = run(*build("new_height: 16 new_width: 6"), 1)[0]
    assert images.shape[2:] == labels.shape[2:] == (16, 6)
    stored = cv2.imread("l0.png", cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(labels[0, 0], stored.repeat(2, axis=0)[:, ::2])


@pytest.mark.parametrize(("size", "expected"), [("", (4, 6)), ("new_height: 16 new_width: 32", (8, 16))])
def test_labels_may_be_smaller_than_images(size: str, expected: tuple[int, int]) -> None:
    for images, labels in run(*build(f"{size} label_divide_factor: 2 mirror: true")):
        assert labels.shape[2:] == expected
        assert images.shape[2:] == (2 * expected[0], 2 * expected[1])
        if not size:
            # The nearest of two columns is the first; mirrored, the second.
            columns = [images[0, 0, ::2, first::2] for first in (0, 1)]
            assert any(np.array_equal(column, labels[0, 0]) for column in columns)


def test_a_mean_in_its_own_options_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        build('mean_file: "x"')[0].close()
    assert "set transform_param's mean_file" in caplog.text


@pytest.mark.parametrize(
    ("options", "transform", "words"),
    [
        ("crop_height: 4", "", "crop_height and crop_width together. Received: 4 and 0"),
        ("new_width: 4", "", "new_height and new_width together. Received: 0 and 4"),
        ("crop_height: 4 crop_width: 4", "crop_size: 4", "not in both"),
        ("crop_height: 4 crop_width: 13", "", "smaller than the crop, 4 x 13"),
        ("label_divide_factor: 2 crop_height: 4 crop_width: 4", "", "take away the crop"),
        ("label_divide_factor: 2", "crop_size: 4", "take away the crop"),
        ("label_divide_factor: 0", "", "at least 1"),
        ("label_divide_factor: 9", "", "leaves nothing of a label map of 8 x 12"),
        ('root_folder: "nowhere/"', "", "nowhere/i0.png"),
    ],
)
def test_what_it_does_not_take(options: str, transform: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(options, transform)


def test_an_image_and_a_label_map_of_two_sizes_are_told_of() -> None:
    cv2.imwrite("l0.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(DataError, match=r"list.txt:1: .* one size .*i0.png. 8 x 12, .l0.png. 3 x 3"):
        build()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new_height: 5 new_width: 6", (3, 5, 6)),
        ("new_height: 5 new_width: 6 crop_height: 3 crop_width: 4 is_color: false", (1, 3, 4)),
        ("", (3, 0, 0)),
    ],
)
def test_its_options_tell_the_images_shape(text: str, expected: tuple[int, int, int]) -> None:
    param = caffe_pb2.LayerParameter()
    parse(f"dense_image_data_param {{ {text} }}", param)
    assert DenseImageData.image_shape(param) == expected
