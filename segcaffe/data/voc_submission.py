"""The archive that PASCAL VOC's evaluation server takes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from segcaffe.data.files import replacing
from segcaffe.data.label_files import is_blob, label_file, read_few_labels, without_padding
from segcaffe.data.palettes import Palette
from segcaffe.data.png import encode_label
from segcaffe.errors import DataError

_CLASSES = 21

Size = tuple[int, int]
"""Height and width."""


def write_submission(
    predictions: Path,
    ids: Sequence[str],
    path: Path,
    competition: str = "comp6",
    subset: str = "test",
    size_of: Callable[[str], Size | None] = lambda _: None,
    palette: Palette | None = None,
) -> None:
    """Write ``results/VOC2012/Segmentation/<competition>_<subset>_cls/<id>.png`` for each id as a .tgz.

    Parameters
    ----------
    size_of:
        The size of an id's image, which predictions in .npy and .mat files are cut to, since nets pad below and at the
        right; None where it is not known.
    palette:
        Labels by colour, for predictions in colour.

    Raises
    ------
    DataError
        A prediction is missing, is smaller than its image, has labels beyond VOC's 21 classes, or is as large as a net
        made it and the size of its image is not known.
    """
    if not ids:
        raise DataError(f'submission: no predictions in "{predictions}".')
    with replacing(path, "submission") as part, tarfile.open(part, "w:gz") as archive:
        for name in ids:
            content = _prediction(predictions, name, size_of, palette)
            entry = tarfile.TarInfo(f"results/VOC2012/Segmentation/{competition}_{subset}_cls/{name}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _prediction(predictions: Path, name: str, size_of: Callable[[str], Size | None], palette: Palette | None) -> bytes:
    found = label_file(predictions, name)
    if found is None:
        raise DataError(f'submission: there is no prediction {name}.png (.npy, .mat) in "{predictions}".')
    label = read_few_labels(found, "submission", palette)
    size = size_of(name)
    if size is not None:
        label = without_padding(label, found, *size)
        if label.shape != size:
            raise DataError(f'submission: "{found}" is {_text(label.shape)} (height x width), its image {_text(size)}.')
    elif is_blob(found):
        raise DataError(
            f'submission: "{found}" is {_text(label.shape)}, the size of a net, and nothing tells that of its image; '
            "give --images FOLDER, the folder of the images."
        )
    if label.max() >= _CLASSES:
        raise DataError(
            f'submission: "{found}" holds label {int(np.max(label))}; VOC has the classes 0 to {_CLASSES - 1}.'
        )
    return encode_label(label)


def _text(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
