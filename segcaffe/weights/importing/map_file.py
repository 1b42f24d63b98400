"""Files of lines ``LAYER = MODULE`` or ``LAYER/INDEX = TENSOR``: which tensors a layer gets."""

from __future__ import annotations

from pathlib import Path

from segcaffe.errors import Place, WeightsError
from segcaffe.proto.source import read_text


def read_map(path: Path) -> dict[str, str]:
    """Read such a file; what follows ``#`` at the beginning of a line or behind a space is a comment."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(read_text(path, "a file of lines LAYER = MODULE").splitlines(), 1):
        text = line if not line.lstrip().startswith("#") else ""
        text = text.partition(" #")[0].strip()
        if not text:
            continue
        mine, sign, theirs = (part.strip() for part in text.partition("="))
        if not (mine and sign and theirs):
            raise WeightsError(f"A line is LAYER = MODULE. Received: {text}.", place=Place(str(path), number))
        if mine in pairs:
            raise WeightsError(f'"{mine}" has a line already.', place=Place(str(path), number))
        pairs[mine] = theirs
    return pairs
