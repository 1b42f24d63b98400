from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.data.images import read_image, resize
from segcaffe.data.label_files import read_labels
from segcaffe.errors import DataError


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def palette_png(indices: np.ndarray, depth: int, line_filter: int = 0) -> bytes:
    """A palette PNG, every line with the given filter (0 none, 1 difference to the left, 2 to the line above)."""
    height, width = indices.shape
    per_byte = 8 // depth
    padded = np.zeros((height, -(-width // per_byte) * per_byte), np.uint8)
    padded[:, :width] = indices
    packed = np.zeros((height, padded.shape[1] // per_byte), np.uint8)
    for i in range(per_byte):
        packed |= padded[:, i::per_byte] << (8 - depth * (i + 1))
    if line_filter == 1:
        packed = np.diff(packed, axis=1, prepend=np.uint8(0))
    if line_filter == 2:
        packed = np.diff(packed, axis=0, prepend=np.zeros((1, packed.shape[1]), np.uint8))
    lines = b"".join(bytes([line_filter]) + line.tobytes() for line in packed)
    palette = np.random.default_rng(0).integers(0, 256, 3 << depth, np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        chunk(b"PLTE", palette),
        chunk(b"tRNS", b"\0"),
        chunk(b"IDAT", zlib.compress(lines)),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("line_filter", [0, 1, 2])
def test_a_palette_label_gives_its_indices(tmp_path: Path, depth: int, line_filter: int) -> None:
    indices = np.random.default_rng(depth).integers(0, 1 << depth, (11, 13)).astype(np.uint8)
    path = tmp_path / "label.png"
    path.write_bytes(palette_png(indices, depth, line_filter))
    np.testing.assert_array_equal(read_labels(path, "here"), indices)


def test_a_palette_image_gives_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path.write_bytes(palette_png(indices, 8))
    palette = np.random.default_rng(0).integers(0, 256, 3 << 8, np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(read_image(str(path), True, "here"), palette[indices][:, :, ::-1])


def test_a_gray_label_gives_its_values(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "label.png"), values)
    np.testing.assert_array_equal(read_labels(tmp_path / "label.png", "here"), values)


def test_colours_are_bgr_and_gray_is_repeated(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), image[:, :, 0])
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png"), True, "here"), image)
    np.testing.assert_array_equal(read_image(str(tmp_path / "b.png"), True, "here"), image[:, :, [0, 0, 0]])
    assert read_image(str(tmp_path / "a.png"), False, "here").shape == (4, 5, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "the file is empty"), (b"not an image at all", "not an image")],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf'list.txt:3: cannot read "{path}": .*{reason}'):
        read_image(str(path), True, "list.txt:3")


def test_a_damaged_palette_png_is_an_error(tmp_path: Path) -> None:
    content = bytearray(palette_png(np.zeros((8, 8), np.uint8), 8))
    content[23] ^= 255
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match="the PNG is damaged"):
        read_labels(tmp_path / "x.png", "here")


def test_a_missing_slash_between_folder_and_name_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r'root/a.png" exists: end root_folder with a slash'):
        read_image(f"{tmp_path}/roota.png", True, "here")


def test_resize_is_opencv_s_and_keeps_the_channel_axis() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 1), np.uint8)
    np.testing.assert_array_equal(resize(image, 5, 6)[:, :, 0], cv2.resize(image[:, :, 0], (6, 5)))
    assert resize(image, 0, 0) is image


def test_a_size_that_no_memory_holds() -> None:
    with pytest.raises(DataError, match=r"cannot be resized to 4000000 x 4000000"):
        resize(np.zeros((4, 5, 3), np.uint8), 4_000_000, 4_000_000)
