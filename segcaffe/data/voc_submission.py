"""The archive that PASCAL VOC's evaluation server takes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segcaffe.data.files import replacing
from segcaffe.data.label_files import label_file, read_labels
from segcaffe.data.png import encode_label
from segcaffe.errors import DataError

_CLASSES = 21


def write_submission(
    predictions: Path, ids: Sequence[str], path: Path, competition: str = "comp6", subset: str = "test"
) -> None:
    """Write ``results/VOC2012/Segmentation/<competition>_<subset>_cls/<id>.png`` for each id as a .tgz.

    Raises
    ------
    DataError
        A prediction is missing or has labels beyond VOC's 21 classes.
    """
    if not ids:
        raise DataError(f'submission: no predictions in "{predictions}".')
    with replacing(path, "submission") as part, tarfile.open(part, "w:gz") as archive:
        for name in ids:
            content = _prediction(predictions, name)
            entry = tarfile.TarInfo(f"results/VOC2012/Segmentation/{competition}_{subset}_cls/{name}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _prediction(predictions: Path, name: str) -> bytes:
    found = label_file(predictions, name)
    if found is None:
        raise DataError(f'submission: there is no prediction {name}.png (.npy, .mat) in "{predictions}".')
    label = read_labels(found, "submission")
    if label.max() >= _CLASSES:
        raise DataError(
            f'submission: "{found}" holds label {int(np.max(label))}; VOC has the classes 0 to {_CLASSES - 1}.'
        )
    return encode_label(label)
