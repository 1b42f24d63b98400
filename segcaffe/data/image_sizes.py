"""How large the pixels of an encoded image will be, from its header alone: before a library makes room for them.

Only formats that OpenCV decodes are looked at. Where a header is damaged, whoever decodes the image tells of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
_JPEG_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_JPEG_FRAMES = [marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)]
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_NETPBM = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_PFM = re.compile(rb"P[fF]\s+(\d{1,9})\s+(\d{1,9})")
_PAM = re.compile(rb"^(WIDTH|HEIGHT|DEPTH) +(\d{1,9})", re.MULTILINE)
_RADIANCE = re.compile(rb"-Y (\d{1,9}) \+X (\d{1,9})")
_EXR = re.compile(rb"dataWindow\0box2i\0.{4}(.{16})", re.DOTALL)
_AVIF = re.compile(rb"ispe.{4}(.{8})", re.DOTALL)
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 258, 277, 322, 323
_TIFF_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_HEAD = 1 << 16


class Size(NamedTuple):
    """Pixels of an image, and bytes of each as they are decoded, with all their channels."""

    height: int
    width: int
    bytes: int


def stated_size(content: bytes) -> Size | None:
    """What the header of an image states; None where it is of no known format, or cut off."""
    for start, read in _READERS.items():
        if content.startswith(start):
            try:
                return read(content)
            except (struct.error, IndexError, ValueError):
                return None
    return None


def _png(content: bytes) -> Size:
    width, height, depth, colour = struct.unpack_from(">IIBB", content, 16)
    return Size(height, width, _PNG_CHANNELS.get(colour, 4) * (2 if depth > 8 else 1))


def _jpeg(content: bytes) -> Size | None:
    at = 2
    while (at := content.find(b"\xff", at)) >= 0:
        marker = content[at + 1]
        if marker in (0x00, 0xFF):
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return Size(height, width, 3)
        elif marker in (_JPEG_SCAN, _JPEG_END):
            return None
        else:
            at += 2 if marker in _JPEG_WITHOUT_LENGTH else 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None


def _gif(content: bytes) -> Size:
    width, height = struct.unpack_from("<HH", content, 6)
    return Size(height, width, 4)


def _bmp(content: bytes) -> Size:
    if content[14] == 12:
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        width, height = struct.unpack_from("<ii", content, 18)
    return Size(abs(height), abs(width), 4)


def _netpbm(content: bytes) -> Size | None:
    match = _NETPBM.match(content)
    return Size(int(match[3]), int(match[2]), 2 * (3 if match[1] in b"36" else 1)) if match else None


def _float_map(content: bytes) -> Size | None:
    match = _PFM.match(content)
    return Size(int(match[2]), int(match[1]), 12) if match else None


def _any_map(content: bytes) -> Size:
    found = {name: int(number) for name, number in _PAM.findall(content[:_HEAD])}
    return Size(found.get(b"HEIGHT", 0), found.get(b"WIDTH", 0), 2 * found.get(b"DEPTH", 4))


def _webp(content: bytes) -> Size | None:
    if content[8:12] != b"WEBP":
        return None
    if content[12:16] == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return Size(height, width, 4)
    return _webp_lossless(content[20:25]) if content[12:16] == b"VP8L" else _webp_lossy(content[20:30])


def _webp_lossless(content: bytes) -> Size:
    bits = struct.unpack_from("<I", content, 1)[0]
    return Size((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4)


def _webp_lossy(content: bytes) -> Size:
    width, height = struct.unpack_from("<HH", content, 6)
    return Size(height & 0x3FFF, width & 0x3FFF, 4)


def _tiff(content: bytes) -> Size:
    order = "<" if content[:2] == b"II" else ">"
    is_big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    at = struct.unpack_from(f"{order}Q" if is_big else f"{order}I", content, 8 if is_big else 4)[0]
    count = struct.unpack_from(f"{order}Q" if is_big else f"{order}H", content, at)[0]
    step, value_at = (20, 12) if is_big else (12, 8)
    values: dict[int, int] = {}
    for entry in range(at + (8 if is_big else 2), at + (8 if is_big else 2) + step * min(count, _HEAD), step):
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT, _TIFF_BITS):
            values[tag] = struct.unpack_from(order + _TIFF_SIZES.get(kind, "I"), content, entry + value_at)[0]
        if tag > _TIFF_TILE_HEIGHT:
            break
    # A tile is decoded as a whole, however little of it is used.
    height = max(values.get(_TIFF_HEIGHT, 0), values.get(_TIFF_TILE_HEIGHT, 0))
    width = max(values.get(_TIFF_WIDTH, 0), values.get(_TIFF_TILE_WIDTH, 0))
    # Several numbers of bits stand elsewhere in the file: at most those of doubles.
    samples, bits = values.get(_TIFF_SAMPLES, 1), values.get(_TIFF_BITS, 8)
    return Size(height, width, samples * (-(-bits // 8) if bits in range(1, 65) and samples == 1 else 2))


def _jpeg_2000(content: bytes) -> Size | None:
    at = content.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return None
    width, height = struct.unpack_from(">II", content, at + 8)
    return Size(height, width, 4)


def _sun_raster(content: bytes) -> Size:
    width, height = struct.unpack_from(">II", content, 4)
    return Size(height, width, 4)


def _radiance(content: bytes) -> Size | None:
    match = _RADIANCE.search(content[:_HEAD])
    return Size(int(match[1]), int(match[2]), 12) if match else None


def _open_exr(content: bytes) -> Size | None:
    match = _EXR.search(content[:_HEAD])
    if match is None:
        return None
    left, top, right, bottom = struct.unpack("<iiii", match[1])
    return Size(abs(bottom - top) + 1, abs(right - left) + 1, 16)


def _avif(content: bytes) -> Size | None:
    sizes = [struct.unpack(">II", found) for found in _AVIF.findall(content[:_HEAD])]
    if content[4:8] != b"ftyp" or not sizes:
        return None
    width, height = max(sizes, key=lambda size: int(size[0] * size[1]))
    return Size(height, width, 4)


_READERS: dict[bytes, Callable[[bytes], Size | None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"II": _tiff,
    b"MM": _tiff,
    b"RIFF": _webp,
    b"P7": _any_map,
    b"Pf": _float_map,
    b"PF": _float_map,
    b"P": _netpbm,
    b"#?": _radiance,
    b"\x76\x2f\x31\x01": _open_exr,
    b"\x59\xa6\x6a\x95": _sun_raster,
    b"\xff\x4f\xff\x51": _jpeg_2000,
    b"\0\0\0\x0cjP": _jpeg_2000,
    b"\x2f": _webp_lossless,
    b"\0\0\0": _avif,
}
"""By the first bytes, the longer ones first where they begin alike."""
