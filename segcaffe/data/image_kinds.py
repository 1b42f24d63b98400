"""What kind of image a file holds, told by its first bytes: names lie, and OpenCV only says yes or no."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from segcaffe.files.regular import opened
from segcaffe.files.there import is_dir, is_file

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
"""Names of files that are taken for images even where their content is none (empty, damaged), so that this is told."""

DAMAGES = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, EOFError,
           AttributeError, RuntimeError, NotImplementedError, struct.error, zlib.error)  # fmt: skip
"""What Pillow raises at damaged files."""

_HEAD = 64
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "icon",
    b"\x59\xa6\x6a\x95": "Sun raster",
}
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_NETPBM = re.compile(rb"P[1-6]\s(?:#[^\n]*\n|\s)*\d+\s+\d+\s|P7\nWIDTH|P[Ff]\n\d+ \d+\n")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def image_kind(head: bytes) -> str:
    """The name of the image format that content begins like; empty for anything else."""
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        brands = head[8 : min(_HEAD, max(16, int.from_bytes(head[:4], "big")))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if brands.startswith(_HEIF_BRANDS):
            return "HEIC"
    return "Netpbm" if _NETPBM.match(head) else ""


def is_image(path: Path) -> bool:
    """Whether a file is an image by its content, or at least by its name."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return is_file(path)
    try:
        with opened(path) as file:
            return bool(image_kind(file.read(_HEAD)))
    except OSError:
        return False


def image_files(folder: Path) -> list[Path]:
    """The images of a folder, by name; none where it is no folder."""
    return sorted(path for path in folder.iterdir() if is_image(path)) if is_dir(folder) else []
