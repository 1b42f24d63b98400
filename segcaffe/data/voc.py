"""PASCAL VOC, with the further label maps of SBD (Hariharan et al. 2011), as lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.importers import write_lists
from segcaffe.data.lists import read_list
from segcaffe.data.mat import load_variable
from segcaffe.data.png import write_label
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.files.there import is_dir, is_file

AUGMENTED = "SegmentationClassAug"
"""Folder of the label maps of VOC and SBD together, as they are also passed on ready-made."""


def import_voc(
    folder: Path,
    out: Path,
    labels: str = "SegmentationClass",
    sbd: Path | None = None,
    progress: Callable[[], object] = lambda: None,
) -> list[Path]:
    """Write ``voc_<split>.txt`` (``/JPEGImages/x.jpg /<labels>/x.png``) and ``voc_<split>_id.txt`` for each split.

    Where there are label maps of SBD, there are two splits more: ``train_aug``, VOC's training images and all labelled
    ones that are not for validation (10,582), and ``trainval_aug`` with those for validation (12,031). VOC's own label
    maps are preferred.

    Parameters
    ----------
    folder:
        ``VOC2012``, with ``ImageSets/Segmentation``, ``JPEGImages`` and the label maps. In the lists names start with a
        slash, so that it may be the ``root_folder`` with or without one at its end.
    labels:
        Folder of the label maps.
    sbd:
        SBD's folder, ``benchmark_RELEASE``: its label maps are written into ``SegmentationClassAug`` of ``folder``,
        as far as they are missing. Without it that folder is taken as it is, if there is one.
    progress:
        Called after each label map that was written.

    Returns
    -------
    list
        The list files written. Splits without label maps (test) list the image alone.
    """
    files = sorted((folder / "ImageSets" / "Segmentation").glob("*.txt"))
    if not files:
        raise DataError(f'import-voc: "{folder}" has no ImageSets/Segmentation/*.txt; give the folder of VOC2012.')
    if sbd is not None:
        _convert(sbd, folder, labels, progress)
    splits = {file.stem: [entry.words[0] for entry in read_list(str(file), "import-voc")] for file in files}
    own = {split: [_line(folder, (labels,), name) for name in ids] for split, ids in splits.items()}
    for split, lines in own.items():
        _check_labels(folder, split, lines, labels)
    more = _augmented(folder, splits)
    added = {split: [_line(folder, (labels, AUGMENTED), name) for name in ids] for split, ids in more.items()}
    written = []
    for split, lines in {**own, **added}.items():
        written += write_lists(out, f"voc_{split}", lines, {**splits, **more}[split])
    return written


def _augmented(folder: Path, splits: dict[str, list[str]]) -> dict[str, list[str]]:
    """Ids of the splits with SBD's labels; none where there are no such labels, or no train and val to add them to."""
    labelled = sorted(path.stem for path in (folder / AUGMENTED).glob("*.png"))
    if not labelled or not {"train", "val"} <= splits.keys():
        return {}
    known = {*splits["train"], *splits["val"]}
    train = splits["train"] + [name for name in labelled if name not in known]
    return {"train_aug": train, "trainval_aug": train + splits["val"]}


def _line(folder: Path, labels: Iterable[str], name: str) -> str:
    image = f"/JPEGImages/{name}.jpg"
    if not is_file(Path(f"{folder}{image}")):
        raise DataError(f'import-voc: "{folder}{image}" does not exist.')
    maps = [f"/{place}/{name}.png" for place in labels]
    return " ".join([image, *[label for label in maps if is_file(Path(f"{folder}{label}"))][:1]])


def _check_labels(folder: Path, split: str, lines: list[str], labels: str) -> None:
    """All images of a split have label maps, or none has."""
    alone = [line for line in lines if " " not in line]
    if alone and len(alone) < len(lines):
        raise DataError(
            f'import-voc: {folder}/ImageSets/Segmentation/{split}.txt: "{alone[0]}" has no label map in {labels}, '
            "others have."
        )


def _convert(sbd: Path, folder: Path, labels: str, progress: Callable[[], object]) -> None:
    """Write SBD's label maps as PNGs, but those that are there and those that VOC has of its own."""
    root = sbd / "dataset" if is_dir(sbd / "dataset") else sbd
    sources = sorted((root / "cls").glob("*.mat"))
    if not sources:
        raise DataError(
            f'import-voc: "{sbd}" has no dataset/cls/*.mat; give the folder benchmark_RELEASE of the Semantic '
            "Boundaries Dataset."
        )
    missing = [
        source
        for source in sources
        if not any(is_file(folder / place / f"{source.stem}.png") for place in (labels, AUGMENTED))
    ]
    for outcome in ordered(lambda source: _convert_one(source, folder), missing):
        if isinstance(outcome, DataError):
            raise outcome
        progress()


def _convert_one(source: Path, folder: Path) -> None:
    write_label(folder / AUGMENTED / f"{source.stem}.png", read_sbd(source), "import-voc")


def read_sbd(path: Path) -> NDArray[np.uint8]:
    """The label map (H, W) of a file of SBD: field Segmentation of its variable GTcls.

    Raises
    ------
    DataError
        The file is missing, damaged, or holds something else.
    """
    truth = load_variable(path, "GTcls", "import-voc")
    label = truth.get("Segmentation") if isinstance(truth, Mapping) else None
    if not isinstance(label, np.ndarray) or label.ndim != 2 or label.dtype != np.uint8:
        raise DataError(f'import-voc: "{path}" must hold a struct GTcls with a label map Segmentation (uint8).')
    return label
