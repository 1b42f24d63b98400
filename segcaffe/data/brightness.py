"""Images whose brightness differs from the numbers they store: label maps, as a rule, that are read as pictures."""

from __future__ import annotations

import io
import re
from typing import Any

from segcaffe.data.image_kinds import DAMAGES, image_kind

_PALETTE = "indices into a palette"
_WHITE_IS_0 = "values of which 0 is white"
_PNG_PALETTE = 3
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_GRAYMAP = re.compile(rb"P[25]\s(?:#[^\n]*\n|\s)*\d+\s+\d+\s+([0-9]{1,9})\s")


def unlike_brightness(content: bytes) -> str:
    """What the numbers of an encoded image are, if reading it as 8-bit gray changes them; empty elsewhere.

    Those are indices, which become the brightness of their colours, and gray values of more than 8 bits or fewer, which
    are cut off or stretched over 0 to 255. Only headers are looked at; damaged images count as pictures.
    """
    kind = image_kind(content)
    if kind == "PNG" and len(content) > 25:
        depth, colour = content[24], content[25]
        if colour == _PNG_PALETTE:
            return _PALETTE
        return f"{depth}-bit values" if depth != 8 else ""
    if kind in ("TIFF", "BMP", "GIF"):
        return _by_header(content, kind)
    if content[:2] in (b"P1", b"P4"):
        return "1-bit values"
    graymap = _GRAYMAP.match(content)
    return f"values of 0 to {int(graymap[1])}" if graymap and int(graymap[1]) != 255 else ""


def _by_header(content: bytes, kind: str) -> str:
    from PIL import BmpImagePlugin, GifImagePlugin, TiffImagePlugin

    # Not by Image.open, which warns of large images.
    readers: dict[str, Any] = {
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    try:
        with readers[kind](io.BytesIO(content)) as image:
            tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
            bits = 1 if image.mode == "1" else tags.get(_TIFF_BITS, (8,))[0]
            if image.mode == "P":
                return _PALETTE
            if image.mode in _WIDE_MODES:
                return "values of more than 8 bits"
            if image.mode not in ("1", "L"):
                return ""
            if bits < 8:
                return f"{bits}-bit values"
            return _WHITE_IS_0 if tags.get(_TIFF_PHOTOMETRIC) == 0 else ""
    except DAMAGES:
        return ""
