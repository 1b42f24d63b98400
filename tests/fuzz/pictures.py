"""Label maps and images in files of many kinds, palettes, MATLAB files of data sets."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segcaffe.data.flow import read_flo
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_labels
from segcaffe.data.palettes import read_palette, voc
from segcaffe.data.voc import read_sbd
from segcaffe.errors import DataError
from segcaffe.pycaffe import io as pycaffe_io
from tests.fuzz import structure
from tests.fuzz.data import _all_files
from tests.fuzz.kinds import Files, Kind, single
from tests.fuzz.mutate import BINARY, TEXT

_LABELS = np.random.default_rng(0).integers(0, 5, (7, 9), np.uint8)
_COLOURS = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
_PALETTES = (b"0 0 0 sky\n128,0,0 road\n# comment\n255;255;255 255\n", b"1 0 0 0\n2 10 20 30\n\n")


def _pillow(kind: str, mode: str = "L", **options: Any) -> bytes:
    image = Image.fromarray(_LABELS).convert("P" if mode == "RGB" else mode)
    if mode in ("P", "RGB"):
        image.putpalette([value for colour in voc().colours[:16].tolist() for value in colour])
    memory = io.BytesIO()
    image = image.convert(mode)
    image.save(memory, kind, **options)
    return memory.getvalue()


def _opencv(suffix: str, values: Any) -> bytes:
    encoded = cv2.imencode(suffix, values)[1]
    return bytes(encoded.tobytes())


def _named(suffix: str, *contents: bytes) -> list[Files]:
    return single(f"label{suffix}", lambda: contents)()


def _label_maps() -> list[Files]:
    return [
        *_named(".png", _pillow("PNG"), _pillow("PNG", "P"), _pillow("PNG", "1"), _pillow("PNG", "P", bits=2),
                _opencv(".png", _LABELS.astype(np.uint16) * 300), _pillow("PNG", "RGB"), _pillow("PNG", "LA")),
    ]  # fmt: skip


def _other_maps() -> list[Files]:
    return [
        *_named(".tif", _pillow("TIFF"), _pillow("TIFF", "P"), _pillow("TIFF", compression="tiff_lzw"),
                _pillow("TIFF", compression="tiff_deflate"), _pillow("TIFF", "1")),
        *_named(".bmp", _pillow("BMP"), _pillow("BMP", "P"), _pillow("BMP", "1"), _pillow("BMP", "RGB")),
        *_named(".gif", _pillow("GIF"), _pillow("GIF", "P")),
        *_named(".webp", _opencv(".webp", np.repeat(_LABELS[:, :, None], 3, 2))),
        *_named(".pgm", _opencv(".pgm", _LABELS), b"P2\n# by hand\n3 2\n255\n0 1 2\n3 4 5\n", b"P4\n3 2\n\xa0\x40"),
    ]  # fmt: skip


def _photos() -> list[Files]:
    large = cv2.resize(_COLOURS, (64, 48))
    contents = [_opencv(".jpg", large), _pillow("JPEG", "L"), _pillow("JPEG", "RGB", progressive=True),
                _opencv(".png", large), _opencv(".ppm", _COLOURS), _opencv(".tiff", _COLOURS)]  # fmt: skip
    return single("photo", lambda: contents)()


def _saved(save: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mat"
        save(path)
        return path.read_bytes()


def _mat_maps() -> list[Files]:
    from scipy.io import savemat

    found = [{"label.mat": _all_files()["id0_blob_0.mat"]}]
    for packed in (False, True):
        values = {"data": _LABELS.T, "name": "text", "cell": np.array([1, "a"], object)}
        found.append({"label.mat": _saved(lambda path: savemat(path, values, do_compression=packed))})  # noqa: B023
    return found


def _sbd() -> list[Files]:
    from scipy.io import savemat

    truth = {"GTcls": {"Boundaries": np.zeros(2, object), "Segmentation": _LABELS, "CategoriesPresent": [1, 2]}}
    return [{"x.mat": _saved(lambda path: savemat(path, truth, do_compression=p))} for p in (False, True)]  # noqa: B023


def _arrays() -> list[Files]:
    found = []
    for values in (_LABELS, _LABELS.astype(np.float32), np.random.default_rng(0).standard_normal((3, 7, 9))):
        memory = io.BytesIO()
        np.save(memory, values)
        found.append({"label.npy": memory.getvalue()})
    return found


def _read_label_map(folder: Path) -> None:
    """As labels, and, where these are none, by a palette."""
    (path,) = folder.iterdir()
    try:
        read_labels(path, "example")
    except DataError:
        read_labels(path, "example", voc())


def _read_photo(folder: Path) -> None:
    path = str(folder / "photo")
    pycaffe_io.load_image(path)
    for color in (True, False):
        read_image(path, color, "example")


_MAT = (*BINARY, *(structure.change_mat,) * 10)
KINDS = {
    "label maps, PNG": Kind(_label_maps, _read_label_map, (*BINARY, *(structure.change_png,) * 16)),
    "label maps, other images": Kind(_other_maps, _read_label_map, BINARY),
    "label maps, npy": Kind(_arrays, _read_label_map, (*BINARY, *(structure.change_npy,) * 10)),
    "label maps, mat": Kind(_mat_maps, _read_label_map, _MAT),
    "images": Kind(_photos, _read_photo, (*BINARY, structure.change_png, structure.change_png)),
    "SBD, mat": Kind(_sbd, lambda folder: read_sbd(folder / "x.mat"), _MAT),
    "flow": Kind(
        lambda: [{"x.flo": _all_files()["flow0.flo"]}],
        lambda folder: read_flo(str(folder / "x.flo"), "example"),
        BINARY,
    ),
    "palettes": Kind(
        single("palette.txt", lambda: _PALETTES), lambda folder: read_palette(str(folder / "palette.txt")), TEXT
    ),
}
