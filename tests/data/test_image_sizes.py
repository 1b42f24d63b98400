"""What headers of images state, and images that claim, or unfold to, more pixels than their bytes allow."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segcaffe.data.coco import _line
from segcaffe.data.contents import Items
from segcaffe.data.database_writer import create_database
from segcaffe.data.image_sizes import stated_size
from segcaffe.data.images import read_image
from segcaffe.data.importers import read_idx
from segcaffe.data.label_files import read_labels
from segcaffe.errors import DataError, LimitError
from segcaffe.proto import caffe_pb2
from segcaffe.pycaffe.io import load_image

HEIGHT, WIDTH = 40, 50
FREE = 1 << 20
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(autouse=True)
def _little_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segcaffe.files.limits.FREE", FREE)


def by_opencv() -> Iterator[tuple[str, bytes]]:
    """An image of every format that OpenCV writes."""
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp", ".jp2", ".ras", ".gif", ".avif"):
        if cv2.haveImageWriter(f"x{suffix}"):
            yield suffix, cv2.imencode(suffix, PIXELS)[1].tobytes()
    for suffix in (".ppm", ".pam", ".pgm", ".pbm", ".hdr", ".pfm"):
        values: Any = PIXELS if suffix in (".ppm", ".pam") else PIXELS[:, :, 0]
        if suffix in (".hdr", ".pfm"):
            values = PIXELS.astype(np.float32)
        yield suffix, cv2.imencode(suffix, values)[1].tobytes()
    yield "progressive", cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def by_pillow() -> Iterator[tuple[str, bytes]]:
    for kind in ("PNG", "TIFF", "GIF", "BMP", "WEBP"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "I;16"):
            content = io.BytesIO()
            if mode != "I;16" or kind in ("PNG", "TIFF"):
                Image.fromarray(PIXELS).convert(mode).save(content, kind)
                yield f"{kind} {mode}", content.getvalue()
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "WEBP", lossless=True)
    yield "lossless", content.getvalue()


ALL = dict([*by_opencv(), *by_pillow()])


@pytest.mark.parametrize("kind", ALL)
def test_headers(kind: str) -> None:
    found = stated_size(ALL[kind])
    assert found is not None
    assert (found.height, found.width) == (HEIGHT, WIDTH)
    stored = cv2.imdecode(np.frombuffer(ALL[kind], np.uint8), cv2.IMREAD_UNCHANGED)
    palette = 3 if kind == "TIFF P" else 1
    assert HEIGHT * WIDTH * found.bytes * palette >= stored.nbytes


@pytest.mark.parametrize("kind", ALL)
def test_headers_that_are_cut_off(kind: str) -> None:
    for length in range(min(len(ALL[kind]), 400)):
        found = stated_size(ALL[kind][:length])
        # Of a text the digits may be cut off.
        assert found is None or (found.height <= HEIGHT and found.width <= WIDTH)


@pytest.mark.parametrize("content", [b"", b"hello", b"P9 3 4", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xff\xff", bytes(99)])
def test_what_is_no_image(content: bytes) -> None:
    assert stated_size(content) is None


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height: int, width: int) -> bytes:
    """A PNG of gray pixels that are all zero."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (width + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


READERS: dict[str, Callable[[Path], Any]] = {
    "image": lambda path: read_image(str(path), False, "layer"),
    "label": lambda path: read_labels(path, "layer"),
    "load_image": lambda path: load_image(str(path)),
}


@pytest.mark.parametrize("reader", READERS)
def test_pixels_that_unfold_without_measure(reader: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(2000, 1000))
    with pytest.raises(LimitError, match=r"x.png.*: 2000 x 1000 pixels would bring .* --max-bytes 2M"):
        READERS[reader](tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(png(500, 1000))
    READERS[reader](tmp_path / "x.png")


def test_a_color_image_takes_more(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(500, 1000))
    with pytest.raises(LimitError, match="500 x 1000 pixels"):
        read_image(str(tmp_path / "x.png"), True, "layer")


@pytest.mark.parametrize("kind", ["L", "P"])
@pytest.mark.parametrize("suffix", ["gif", "tif", "bmp", "png"])
def test_labels_of_every_kind(suffix: str, kind: str, tmp_path: Path) -> None:
    """What Pillow reads is measured as well as what OpenCV does."""
    options: Any = {"compression": "tiff_deflate"} if suffix == "tif" else {}
    Image.fromarray(np.zeros((3000, 3000), np.uint8)).convert(kind).save(tmp_path / f"x.{suffix}", **options)
    if suffix == "bmp":
        content = bytearray((tmp_path / "x.bmp").read_bytes()[:3000])
        content[18:26] = struct.pack("<ii", 50000, 50000)
        (tmp_path / "x.bmp").write_bytes(content)
    with pytest.raises(LimitError, match="pixels would bring"):
        read_labels(tmp_path / f"x.{suffix}", "layer")


def test_images_inside_a_database(tmp_path: Path) -> None:
    datum = caffe_pb2.Datum(encoded=True, data=png(3000, 1000))
    with create_database(tmp_path / "db", "lmdb", "test") as writer:
        writer.put("a", datum.SerializeToString())
    (item,) = Items(str(tmp_path / "db"), "test").arrays()
    assert isinstance(item, LimitError)
    assert "3000 x 1000 pixels would bring what is made of the file to 3 MB" in str(item)


def test_gzip(tmp_path: Path) -> None:
    import gzip

    for count, fits in ((FREE - 16, True), (2 * FREE, False)):
        shape = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (tmp_path / "x.gz").write_bytes(gzip.compress(shape + bytes(count)))
        if fits:
            assert len(read_idx(tmp_path / "x.gz", 1)) == count
        else:
            with pytest.raises(LimitError, match=r'import-mnist: ".*x.gz": what is packed in it would bring'):
                read_idx(tmp_path / "x.gz", 1)


def test_label_maps_of_annotations(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"an image")
    image = {"file_name": "x.jpg", "height": 60_000, "width": 60_000}
    with pytest.raises(LimitError, match=r'"x\.jpg": a label map of 60000 x 60000 would bring'):
        _line(tmp_path, ".", "train", image, [])
    runs = {"area": 1, "category_id": 1, "segmentation": {"counts": [1 << 40, 5]}}
    with pytest.raises(DataError, match="its runs have 1099511627781 pixels, the image 4 x 5"):
        _line(tmp_path, ".", "train", image | {"height": 4, "width": 5}, [runs])
