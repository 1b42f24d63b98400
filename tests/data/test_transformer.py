from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.transformer import Transformer, read_mean
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
LABEL = np.random.default_rng(1).integers(0, 21, (9, 12, 1), np.uint8)


def make(options: str, phase: int = TEST) -> Transformer:
    param = parse(options, caffe_pb2.TransformationParameter(), "test")
    return Transformer(param, phase, "layer", np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def reference(image: np.ndarray, top: int, left: int, size: int, mean: list[float], scale: float) -> np.ndarray:
    """The rule pixel by pixel; outside the image there is the mean."""
    out = np.zeros((image.shape[2], size, size), np.float32)
    for c in range(image.shape[2]):
        for i in range(size):
            for j in range(size):
                inside = top + i < image.shape[0] and left + j < image.shape[1]
                pixel = np.float32(image[top + i, left + j, c]) if inside else np.float32(mean[c])
                out[c, i, j] = (pixel - np.float32(mean[c])) * np.float32(scale)
    return out


@pytest.mark.parametrize(("size", "top", "left"), [(4, 2, 4), (5, 2, 3), (10, 0, 1), (15, 0, 0)])
def test_centre_crop_and_padding(size: int, top: int, left: int) -> None:
    mean = [104.008, 116.669, 122.675]
    transformer = make(f"mean_value: {mean} scale: 0.017 crop_size: {size}")
    expected = reference(IMAGE, top, left, size, mean, 0.017)
    np.testing.assert_array_equal(transformer.image(IMAGE, rng()), expected)


def test_random_crops_and_mirrors_reach_every_place_and_keep_pairs_together() -> None:
    transformer = make("crop_size: 7 mirror: true", TRAIN)
    marked = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12, 1)
    seen = set()
    for seed in range(400):
        values, labels = transformer.pair(marked, marked, rng(seed))
        np.testing.assert_array_equal(values, labels)
        mirrored = values[0, 0, 0] > values[0, 0, 1]
        corner = int(values[0, :, ::-1][0, 0] if mirrored else values[0, 0, 0])
        seen.add((corner, mirrored))
    assert len(seen) == 3 * 6 * 2


def test_labels_are_padded_in_channel_0_only() -> None:
    labels = np.repeat(LABEL, 2, axis=2)
    _, out = make("crop_size: 14 mean_value: 7 scale: 3").pair(IMAGE, labels, rng(), 200)
    np.testing.assert_array_equal(out[0, :9, :12], LABEL[:, :, 0])
    assert (out[0, 9:] == 200).all()
    assert (out[0, :, 12:] == 200).all()
    assert (out[1, 9:] == 0).all()


def test_crop_height_and_width() -> None:
    np.testing.assert_array_equal(
        make("crop_height: 3 crop_width: 4").image(IMAGE, rng()), IMAGE[3:6, 4:8].transpose(2, 0, 1)
    )


@pytest.mark.parametrize("options", ["crop_height: 3", "crop_size: 3 crop_height: 3 crop_width: 3"])
def test_contradictory_crops(options: str) -> None:
    with pytest.raises(DataError, match="either crop_size, or crop_height and crop_width"):
        make(options)


def test_the_mean_needs_one_value_or_one_a_channel() -> None:
    with pytest.raises(DataError, match=r"each of the 3 channels. Received: 2"):
        make("mean_value: [1, 2]").image(IMAGE, rng())


def test_scale_factors_resize_images_bilinearly_and_labels_to_the_nearest() -> None:
    values, labels = make("scale_factors: 0.5").pair(IMAGE, LABEL.astype(np.int32), rng())
    np.testing.assert_array_equal(values, cv2.resize(IMAGE, (6, 4)).transpose(2, 0, 1))
    np.testing.assert_array_equal(labels[0], cv2.resize(LABEL, (6, 4), interpolation=cv2.INTER_NEAREST))


def test_scaled_sizes_are_those_of_single_precision() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    assert make("scale_factors: 0.7").pair(image, image[:, :, :1], rng())[0].shape == (3, 7, 14)


def test_scale_factors_are_drawn() -> None:
    transformer = make("scale_factors: [0.5, 1, 2]")
    sizes = {transformer.pair(IMAGE, LABEL, rng(seed))[0].shape[1:] for seed in range(30)}
    assert sizes == {(4, 6), (9, 12), (18, 24)}


def test_data_smaller_than_the_crop_is_an_error() -> None:
    with pytest.raises(DataError, match=r"at least as large as the crop, 10 x 10. Received: 9 x 12"):
        make("crop_size: 10").datum(IMAGE.transpose(2, 0, 1), rng())


@pytest.mark.parametrize("legacy", [False, True])
def test_a_mean_image_is_cropped_and_mirrored_with_the_data(tmp_path: Path, legacy: bool) -> None:
    mean = np.random.default_rng(2).random((3, 9, 12)).astype(np.float32)
    proto = caffe_pb2.BlobProto(data=mean.reshape(-1).tolist())
    if legacy:
        proto.num, proto.channels, proto.height, proto.width = 1, 3, 9, 12
    else:
        proto.shape.dim.extend([3, 9, 12])
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(proto.SerializeToString())
    transformer = make(f'mean_file: "{path}" crop_size: 5 mirror: true')
    expected = (IMAGE.transpose(2, 0, 1) - mean)[:, 2:7, 3:8]
    found = [transformer.image(IMAGE, rng(seed)) for seed in range(20)]
    assert any((values == expected).all() for values in found)
    assert any((values == expected[:, :, ::-1]).all() for values in found)


def test_a_mean_image_of_another_size(tmp_path: Path) -> None:
    proto = caffe_pb2.BlobProto(data=[0.0] * 12, num=1, channels=3, height=2, width=2)
    (tmp_path / "m").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match=r"has shape \(3, 2, 2\), the data \(3, 9, 12\)"):
        make(f'mean_file: "{tmp_path}/m"').image(IMAGE, rng())


def test_files_that_are_no_mean(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"this is text, not a message")
    with pytest.raises(DataError, match=r"not a binary BlobProto|must hold one image"):
        read_mean(str(tmp_path / "text"), "layer")
    (tmp_path / "short").write_bytes(
        caffe_pb2.BlobProto(data=[1.0], num=1, channels=3, height=2, width=2).SerializeToString()
    )
    with pytest.raises(DataError, match="must hold one image"):
        read_mean(str(tmp_path / "short"), "layer")


def test_mean_file_and_mean_value_exclude_each_other() -> None:
    with pytest.raises(DataError, match="not both"):
        make('mean_file: "x" mean_value: 1')
