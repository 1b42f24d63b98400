"""Images are told by their content, wherever a file is named."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segcaffe.cli.main import main
from segcaffe.data.image_kinds import image_files, image_kind, is_image
from segcaffe.data.images import read_image
from segcaffe.errors import DataError
from segcaffe.predict.pictures import find_pictures

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
KINDS = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "GIF": "GIF",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "WebP": "WEBP",
    "Netpbm": "PPM",
    "JPEG 2000": "JPEG2000",
    "AVIF": "AVIF",
    "icon": "ICO",
}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(200))


def content(kind: str) -> bytes:
    if kind == "HEIC":
        return HEIC
    out = io.BytesIO()
    try:
        Image.fromarray(PICTURE).save(out, KINDS[kind])
    except (OSError, KeyError):
        pytest.skip(f"this build of Pillow writes no {kind}")
    return out.getvalue()


@pytest.mark.parametrize("kind", [*KINDS, "HEIC"])
def test_kinds_by_content(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(content(kind))
    assert image_kind(content(kind)) == kind
    assert is_image(tmp_path / "a.dat")
    assert image_files(tmp_path) == [tmp_path / "a.dat"]
    # Given to what reads an image or a list, it is an image, whatever its name.
    assert [picture.path for picture in find_pictures(str(tmp_path / "a.dat"))] == [str(tmp_path / "a.dat")]
    assert [picture.path for picture in find_pictures(str(tmp_path))] == [str(tmp_path / "a.dat")]


@pytest.mark.parametrize("kind", [*KINDS, "HEIC"])
def test_an_image_in_the_place_of_a_list(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dat").write_bytes(content(kind))
    for command in (["data", "check"], ["data", "mean"], ["data", "show"], ["eval", str(tmp_path)]):
        assert main([*command, str(tmp_path / "a.dat")]) == 2
        assert f"is an image ({kind}), not a text file" in " ".join(capsys.readouterr().err.split())


def test_an_image_that_cannot_be_decoded_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(DataError, match=r"a.jpg\": this HEIC image is damaged, or OpenCV cannot decode it"):
        read_image(str(tmp_path / "a.jpg"), True, "test")


@pytest.mark.parametrize(
    "text", [b"", b"a.png 1\nb.png 2\n", b"P1 3\nP2 4\n", b"BMW.png 1\n", b"MM*\n", b"GIF.gif 1\n", b"\xff\xfea\0"]
)
def test_lists_are_no_images(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(text)
    assert image_kind(text) == ""
    assert image_files(tmp_path) == []


def test_broken_images_are_not_left_out(tmp_path: Path) -> None:
    """A folder's images by name count too: an empty one is told of, not left out in silence."""
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    (tmp_path / "b.JPG").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.png", "b.JPG"]
