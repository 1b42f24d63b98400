"""Converters, images and the transformer."""

from __future__ import annotations

import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, Any, cast

import cv2
import numpy as np
import pytest

from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import BlobProto, Datum
from segcaffe.pycaffe import io

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (), (0, 3)])
def test_blobproto_keeps_values_gradient_and_shape(shape: tuple[int, ...]) -> None:
    values = np.asarray(RANDOM.random(shape), np.float32)
    message = io.array_to_blobproto(values, diff=2 * values)
    np.testing.assert_array_equal(io.blobproto_to_array(message), values)
    np.testing.assert_array_equal(io.blobproto_to_array(message, return_diff=True), 2 * values)
    assert io.blobproto_to_array(message).shape == shape


def test_old_blobproto_has_four_extents() -> None:
    message = BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    np.testing.assert_array_equal(io.blobproto_to_array(message), np.arange(6).reshape(1, 2, 1, 3))
    message.data.append(7)
    with pytest.raises(DataError, match=r"7 values for shape \(1, 2, 1, 3\)"):
        io.blobproto_to_array(message)


def test_blobproto_vector_keeps_a_list() -> None:
    arrays = [np.float32(RANDOM.random((2, 3))), np.float32(RANDOM.random(4))]
    back = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str(arrays))
    assert len(back) == 2
    for a, b in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_datum_keeps_bytes_and_floats(dtype: type) -> None:
    array = (RANDOM.random((3, 4, 5)) * 255).astype(np.float32).astype(dtype)
    datum = io.array_to_datum(array, 7)
    assert datum.label == 7
    assert bool(datum.data) == (dtype == np.uint8)
    assert not io.array_to_datum(array).HasField("label")
    back = io.datum_to_array(datum)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)
    with pytest.raises(DataError, match="channels, height, width"):
        io.array_to_datum(array[0])


def test_an_encoded_datum_says_how_to_decode_it() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[..., 0] = 255
    datum = Datum(encoded=True, data=cv2.imencode(".png", pixels)[1].tobytes())
    with pytest.raises(ValueError, match=r"holds an encoded image.*load_image\(datum\.data\)"):
        io.datum_to_array(datum)
    np.testing.assert_array_equal(io.load_image(datum.data), pixels[:, :, ::-1] / 255)


def test_load_image_gives_rgb_from_0_to_1(tmp_path: Path) -> None:
    bgr = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "color.png"), bgr)
    cv2.imwrite(str(tmp_path / "gray.png"), bgr[:, :, 0])
    cv2.imwrite(str(tmp_path / "deep.png"), bgr[:, :, 0].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([bgr, bgr[:, :, :1]]))
    color = io.load_image(tmp_path / "color.png")
    np.testing.assert_allclose(color, bgr[:, :, ::-1] / 255, atol=1e-6)
    assert color.dtype == np.float32
    np.testing.assert_array_equal(io.load_image(str(tmp_path / "alpha.png")), color)
    gray = io.load_image(tmp_path / "gray.png", color=False)
    np.testing.assert_allclose(gray[:, :, 0], bgr[:, :, 0] / 255, atol=1e-6)
    np.testing.assert_allclose(io.load_image(tmp_path / "deep.png", color=False), gray, atol=1e-6)
    np.testing.assert_array_equal(io.load_image(tmp_path / "gray.png"), np.repeat(gray, 3, axis=2))


def test_load_image_takes_files_and_bytes(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (5, 4, 3)).astype(np.uint8)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    (tmp_path / "a.png").write_bytes(content)
    right = io.load_image(tmp_path / "a.png")
    stream = BytesIO(content)
    np.testing.assert_array_equal(io.load_image(stream), right)
    # Read to its end, as it is after it has been written to.
    np.testing.assert_array_equal(io.load_image(stream), right)
    for source in (content, bytearray(content), memoryview(content)):
        np.testing.assert_array_equal(io.load_image(source), right)
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(io.load_image(file), right)
        assert not file.closed
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", content)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.png") as file:
        np.testing.assert_array_equal(io.load_image(file), right)


def test_load_image_reads_what_cannot_be_rewound() -> None:
    class Socket:
        """As an answer from the network: it only reads."""

        def read(self) -> bytes:
            return cv2.imencode(".png", np.zeros((2, 3, 3), np.uint8))[1].tobytes()

    assert io.load_image(cast(IO[bytes], Socket())).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (BytesIO(), "there are no bytes"),
        (b"", "there are no bytes"),
        (BytesIO(b"no image"), 'the file "BytesIO" is not an image'),
        (StringIO("text"), 'mode "rb"'),
        (7, "takes a path or a file open for reading. Received: int"),
    ],
)
def test_load_image_says_what_is_wrong_with_a_stream(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        io.load_image(source)


def test_load_image_refuses_a_jpeg_that_is_cut_off() -> None:
    content = cv2.imencode(".jpg", RANDOM.integers(0, 256, (64, 64, 3)).astype(np.uint8))[1].tobytes()
    with pytest.raises(OSError, match="the JPEG is cut off"):
        io.load_image(content[: len(content) // 2])


def test_load_image_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        io.load_image(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match="not an image OpenCV can decode"):
        io.load_image(tmp_path / "text.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_resize_takes_any_values_and_channels(channels: int) -> None:
    image = 1000 * RANDOM.random((4, 6, channels)) - 500
    resized = io.resize_image(image, (8, 12))
    assert resized.shape == (8, 12, channels)
    assert resized.dtype == np.float32
    # Halving what was doubled averages 2 x 2 pixels, whose centre is that of the original pixel.
    inner = io.resize_image(resized, (4, 6))[1:-1, 1:-1]
    weights = np.array([1, 6, 1]) / 8
    smooth = np.apply_along_axis(np.convolve, 0, image, weights, "valid")
    smooth = np.apply_along_axis(np.convolve, 1, smooth, weights, "valid")
    np.testing.assert_allclose(inner, smooth, rtol=1e-4, atol=1e-2)
    assert set(np.unique(io.resize_image(image, (9, 7), 0))) <= set(np.unique(image.astype(np.float32)))
    with pytest.raises(DataError, match="interp_order is 0, 1 or 3"):
        io.resize_image(image, (9, 7), 2)


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 4), (2, 2)), ((0, 4, 3), (2, 2)), ((4, 4, 3), (2,)), ((4, 4, 3), (0, 2))]
)
def test_resize_image_says_what_it_takes(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"takes an image \(H, W, K\) with pixels"):
        io.resize_image(np.zeros(shape, np.float32), size)


def test_oversample_takes_corners_centre_and_mirrors() -> None:
    image = RANDOM.random((7, 9, 2)).astype(np.float32)
    crops = io.oversample([image, image + 1], (4, 5))
    assert crops.shape == (20, 4, 5, 2)
    starts = [(0, 0), (0, 4), (3, 0), (3, 4), (1, 2)]
    for k, (y, x) in enumerate(starts):
        np.testing.assert_array_equal(crops[k], image[y : y + 4, x : x + 5])
        np.testing.assert_array_equal(crops[k + 5], image[y : y + 4, x : x + 5][:, ::-1])
    np.testing.assert_allclose(crops[10:], crops[:10] + 1, rtol=1e-6)
    with pytest.raises(DataError, match="do not fit"):
        io.oversample([image], (8, 5))


def transformer() -> io.Transformer:
    made = io.Transformer({"data": (1, 3, 4, 6)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 0, 1))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([10.0, 20.0, 30.0]))
    made.set_input_scale("data", 0.5)
    return made


def test_transformer_goes_through_its_steps_in_order() -> None:
    image = RANDOM.random((4, 6, 3)).astype(np.float32)
    kept = image.copy()
    received = transformer().preprocess("data", image)
    expected = (image.transpose(2, 0, 1)[[2, 0, 1]] * 255 - np.array([10, 20, 30])[:, None, None]) * 0.5
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_allclose(transformer().deprocess("data", received[None]), image, atol=1e-6)
    assert transformer().preprocess("data", RANDOM.random((9, 5, 3))).shape == (3, 4, 6)


def test_transformer_takes_mean_images_of_any_size() -> None:
    made = io.Transformer({"data": (1, 3, 4, 6)})
    made.set_mean("data", np.ones((3, 8, 12)))
    np.testing.assert_allclose(made.mean["data"], np.ones((3, 4, 6)))
    made.set_mean("data", np.ones((4, 6)))
    assert made.mean["data"].shape == (1, 4, 6)
    for shape in [(2,), (2, 4, 6), (1, 3, 4, 6)]:
        with pytest.raises(DataError, match="mean of input"):
            made.set_mean("data", np.ones(shape))


def test_transformer_checks_its_settings() -> None:
    made = transformer()
    with pytest.raises(DataError, match='"label" is not one of its inputs: data'):
        made.set_raw_scale("label", 1)
    with pytest.raises(DataError, match="3 axes"):
        made.set_transpose("data", (1, 0))
    with pytest.raises(DataError, match="3 channels"):
        made.set_channel_swap("data", (1, 0))
