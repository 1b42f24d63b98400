"""Well-known data sets into lists and databases."""

from __future__ import annotations

import gzip
import io
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.database_writer import create_database, raw_datum
from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.image_kinds import image_files
from segcaffe.data.images import read_bytes
from segcaffe.data.label_files import read_few_labels, read_labels
from segcaffe.data.palettes import Palette
from segcaffe.data.png import write_label
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.files.limits import Budget
from segcaffe.files.there import is_dir, is_file
from segcaffe.text.words import counted

Bytes = NDArray[np.uint8]

_IDX_BYTES = 0x08
_CIFAR_SHAPE = (3, 32, 32)
_GZIP = b"\x1f\x8b"

CITYSCAPES_TRAIN_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    31: 16, 32: 17, 33: 18,
}  # fmt: skip
"""The 19 classes of the Cityscapes benchmark by label id; all other ids are ignored (255)."""


# Folders of images and label maps: lists.


def import_cityscapes(folder: Path, out: Path, progress: Callable[[], object] = lambda: None) -> list[Path]:
    """Write ``<split>.txt`` and ``<split>_id.txt`` for each folder of ``leftImg8bit``.

    Label maps with train ids (19 classes, 255 ignored) are made of ``*_labelIds.png`` where they are missing, beside
    them as ``*_labelTrainIds.png``, which is where the data set's own scripts put them.

    Returns
    -------
    list
        The list files written; splits without label maps list the image alone.
    """
    splits = sorted(path for path in (folder / "leftImg8bit").glob("*") if is_dir(path))
    if not splits:
        raise DataError(
            f'import-cityscapes: "{folder}" has no leftImg8bit/<split>/<city>; give the data set\'s folder.'
        )
    written = []
    for split in splits:
        images = sorted(split.glob("*/*_leftImg8bit.png"))
        if not images:
            raise DataError(f'import-cityscapes: "{split}" has no <city>/*_leftImg8bit.png.')
        lines = []
        for line in ordered(lambda image: _cityscapes_line(folder, image), images):
            progress()
            if isinstance(line, DataError):
                raise line
            lines.append(line)
        ids = [image.name.removesuffix("_leftImg8bit.png") for image in images]
        written += write_lists(out, split.name, lines, ids)
    return written


def _cityscapes_line(folder: Path, image: Path) -> str:
    stem = image.name.removesuffix("_leftImg8bit.png")
    labels = folder / "gtFine" / image.parent.parent.name / image.parent.name
    trained, ids = labels / f"{stem}_gtFine_labelTrainIds.png", labels / f"{stem}_gtFine_labelIds.png"
    if not is_file(trained) and is_file(ids):
        table = np.full(256, 255, np.uint8)
        table[list(CITYSCAPES_TRAIN_IDS)] = list(CITYSCAPES_TRAIN_IDS.values())
        write_picture(trained, table[read_few_labels(ids, "import-cityscapes")], "import-cityscapes", one_of_many=True)
    names = [image, trained] if is_file(trained) else [image]
    return " ".join(f"/{path.relative_to(folder).as_posix()}" for path in names)


def import_folder(
    images: Path,
    labels: Path,
    out: Path,
    test: int = 0,
    values: Mapping[int, int] | None = None,
    palette: Palette | None = None,
) -> list[Path]:
    """Write ``train.txt`` and ``train_id.txt`` for the images of a folder and the label maps of the same names.

    Parameters
    ----------
    test:
        The last so many (in the order of their names) go to ``test.txt`` and ``test_id.txt``.
    values:
        New labels by old ones.
    palette:
        Labels by colour. With ``values`` or it, label maps are written anew, as palette PNGs in ``out/labels``.

    Returns
    -------
    list
        The list files written. Names in them are absolute paths.
    """
    maps = {path.stem: path for path in labels.iterdir() if is_file(path)} if is_dir(labels) else {}
    files = sorted(image_files(images), key=_order)
    if not files or not 0 <= test < len(files):
        raise DataError(
            f'import-folder: "{images}" holds {counted(len(files), "image")}, {test} are asked for as test images.'
        )
    lines = []
    for image in files:
        if image.stem not in maps:
            raise DataError(f'import-folder: "{image}" has no label map of that name in "{labels}".')
        label = maps[image.stem]
        if values or palette:
            label = _mapped(label, out / "labels" / f"{image.stem}.png", values or {}, palette)
        lines.append(f"{image.resolve()} {label.resolve()}")
    if bad := next((line for line in lines if len(line.split()) != 2), None):
        raise DataError(f'import-folder: names in lists may not contain spaces. Received: "{bad}".')
    ids = [image.stem for image in files]
    count = len(files) - test
    written = write_lists(out, "train", lines[:count], ids[:count])
    return written + (write_lists(out, "test", lines[count:], ids[count:]) if test else [])


def _order(path: Path) -> list[int | str]:
    """The name's digits and the rest apart, so that 10 comes after 9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _mapped(source: Path, target: Path, values: Mapping[int, int], palette: Palette | None) -> Path:
    labels = read_labels(source, "import-folder", palette)
    table = np.arange(int(labels.max(initial=255)) + 1)
    table[list(values)] = list(values.values())
    write_label(target, table[labels], "import-folder")
    return target


def write_lists(out: Path, split: str, lines: Sequence[str], ids: Sequence[str]) -> list[Path]:
    """Write ``<split>.txt`` and ``<split>_id.txt``, a line for each image; return their paths."""
    paths = [out / f"{split}.txt", out / f"{split}_id.txt"]
    for path, rows in zip(paths, (lines, ids), strict=True):
        # Names are bytes to the system; those that are no text come out as they went in.
        content = "".join(f"{row}\n" for row in rows).encode(sys.getfilesystemencoding(), "surrogateescape")
        write_bytes(path, content, "import")
    return paths


# MNIST and CIFAR: databases.


def import_mnist(folder: Path, out: Path, backend: str, overwrite: bool = False) -> dict[Path, int]:
    """Write ``mnist_train_<backend>`` and ``mnist_test_<backend>`` from the idx files of a folder, gzipped or not.

    Returns
    -------
    dict
        Number of items of each database. A set whose images or labels are not there is left out.
    """
    written = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        found = [_idx_file(folder, prefix, part) for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        images, labels = found
        if images is not None and labels is not None:
            path = out / f"mnist_{name}_{backend}"
            written[path] = convert_mnist(images, labels, path, backend, overwrite)
    if not written:
        raise DataError(
            f'import-mnist: "{folder}" has no pair of files such as t10k-images-idx3-ubyte and '
            "t10k-labels-idx1-ubyte (.gz or not)."
        )
    return written


def convert_mnist(images: Path, labels: Path, path: Path, backend: str, overwrite: bool = False) -> int:
    """Write a database from one file of images and one of labels; returns the number of items."""
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise DataError(f'import-mnist: "{images}" holds {len(pixels)} images, "{labels}" {len(classes)} labels.')
    with create_database(path, backend, "import-mnist", overwrite) as writer:
        for number, (image, label) in enumerate(zip(pixels, classes, strict=True)):
            writer.put(f"{number:08d}", raw_datum(image[None], int(label)))
    return len(pixels)


def read_idx(path: Path, axes: int) -> Bytes:
    """The array of bytes of an idx file with that many axes.

    The format is big-endian: two zero bytes, the type (8: unsigned bytes), the number of axes, the extents as 32-bit
    integers, then the values.
    """
    content = _unzipped(path, "import-mnist")
    if content[:4] != bytes([0, 0, _IDX_BYTES, axes]):
        raise DataError(f'import-mnist: "{path}" is not an idx file of bytes with {axes} axes.')
    head = 4 + 4 * axes
    if len(content) < head:
        raise DataError(f'import-mnist: "{path}" is cut off after {len(content)} bytes.')
    shape = struct.unpack_from(f">{axes}I", content, 4)
    size = int(np.prod(shape, dtype=np.int64))
    if len(content) != head + size:
        raise DataError(
            f'import-mnist: "{path}" is damaged: shape {shape} needs {head + size} bytes, it has {len(content)}.'
        )
    return np.frombuffer(content, np.uint8, size, head).reshape(shape)


def _idx_file(folder: Path, prefix: str, part: str) -> Path | None:
    names = [f"{prefix}-{part}", f"{prefix}-{part.replace('-idx', '.idx')}"]
    found = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((path for path in found if is_file(path)), None)


def import_cifar(folder: Path, out: Path, backend: str, overwrite: bool = False) -> dict[Path, int]:
    """Write the train and test database of CIFAR-10 or CIFAR-100 (fine labels) from its binary files.

    Values are stored as in the files: three planes in the order R, G, B, as Caffe's converter does.
    """
    sets = {
        "cifar10_train": (sorted(folder.glob("data_batch_*.bin"), key=_number), 1),
        "cifar10_test": ([folder / "test_batch.bin"], 1),
        "cifar100_train": ([folder / "train.bin"], 2),
        "cifar100_test": ([folder / "test.bin"], 2),
    }
    written = {}
    for name, (files, label_bytes) in sets.items():
        if files and all(is_file(file) for file in files):
            path = out / f"{name}_{backend}"
            with create_database(path, backend, "import-cifar", overwrite) as writer:
                count = 0
                for record in _cifar_records(files, label_bytes):
                    values = record[label_bytes:].reshape(_CIFAR_SHAPE)
                    writer.put(f"{count:05d}", raw_datum(values, int(record[label_bytes - 1])))
                    count += 1
            written[path] = count
    if not written:
        raise DataError(
            f'import-cifar: "{folder}" has neither data_batch_1.bin… and test_batch.bin (CIFAR-10) nor train.bin and '
            "test.bin (CIFAR-100). Use the binary version of the data set."
        )
    return written


def _cifar_records(files: Sequence[Path], label_bytes: int) -> Iterator[Bytes]:
    size = label_bytes + int(np.prod(_CIFAR_SHAPE))
    for file in files:
        content = read_bytes(str(file), "import-cifar")
        if len(content) % size:
            raise DataError(
                f'import-cifar: "{file}" is damaged: its size must be a multiple of {size} bytes. '
                f"Received: {len(content)}."
            )
        yield from np.frombuffer(content, np.uint8).reshape(-1, size)


def _number(path: Path) -> int:
    return int("".join(re.findall(r"\d+", path.stem)) or 0)


def _unzipped(path: Path, where: str) -> bytes:
    content = read_bytes(str(path), where)
    if content[:2] != _GZIP:
        return content
    budget = Budget(f'{where}: "{path}"', len(content))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(budget.limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f'{where}: "{path}" is a damaged gzip file: {error}.') from error
    budget.take(len(unpacked), "what is packed in it")
    return unpacked
