"""A folder of results that grows image by image: one writer, settings on record, what is done is done once."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from segcaffe.data.files import replacing
from segcaffe.data.images import Image
from segcaffe.errors import DataError
from segcaffe.files.disk import sync_folders
from segcaffe.files.leftovers import clean_folder
from segcaffe.files.lock import lock
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import exists, is_dir
from segcaffe.parallel import group
from segcaffe.predict.pictures import Picture

SETTINGS = "predict.json"
"""Beside the results: what they depend on."""
SINCE = "since"
"""In it: results as old as this (nanoseconds, as files have it) were to be overwritten; 0 if none were."""
T = TypeVar("T", contravariant=True)


class ResultFolder(ABC, Generic[T]):
    """A folder of results, some files for each image.

    Parameters
    ----------
    folder:
        Made when missing. Results that are there already are kept, if they were made with the same settings.
    settings:
        What the results depend on.
    overwrite:
        Make everything anew.

    Raises
    ------
    DataError
        The folder holds results of other settings.
    LockedError
        Another process is writing results there; it is kept from that as long as this object is there. Processes that
        work together write there together.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    """Folders in it."""

    def __init__(self, folder: Path, settings: dict[str, Any], overwrite: bool = False) -> None:
        self.folder, self.overwrite = folder, overwrite
        ranks = group()
        self._since = 0
        if ranks.is_first:
            self._take(settings)
        self._since = ranks.from_first(self._since)

    def _take(self, settings: dict[str, Any]) -> None:
        """Keep other runs from the folder, and put the settings on record."""
        self._lock = lock(self.folder, "predict", "choose another --out", inside=True)
        for part in self._folders():
            clean_folder(part, lambda name: True)
        record = self.folder / SETTINGS
        if exists(record) and not self.overwrite:
            self._since = self._compare(record, json.loads(json.dumps(settings)))
        with replacing(record, "results") as part:
            if self.overwrite:
                # By the clock of the disk, which may be another machine's.
                self._since = part.stat().st_mtime_ns
            part.write_text(json.dumps({**settings, SINCE: self._since}, indent=1, sort_keys=True))

    def missing(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Those of the pictures that are not done."""
        if self.overwrite:
            return list(pictures)
        return [picture for picture in pictures if not self.is_done(picture)]

    def is_done(self, picture: Picture) -> bool:
        """Whether all files of an image are there, made since they were last to be overwritten."""
        return all(self._is_there(path) for path in self.paths(picture.id))

    def sync(self) -> None:
        """Bring what is written to the disk: for many small files at once, not for each."""
        sync_folders(*self._folders())

    @abstractmethod
    def write(self, picture: Picture, image: Image, answer: T) -> None:
        """Write the files of one image (H, W, C), of what the net says of it."""

    @abstractmethod
    def paths(self, name: str) -> list[Path]:
        """The files of the image of that id; the last is written last."""

    def _folders(self) -> list[Path]:
        return [path for path in (self.folder, *(self.folder / part for part in self.parts)) if is_dir(path)]

    def _is_there(self, path: Path) -> bool:
        """Whether a file is there, not left empty by a power failure, and not what was to be overwritten."""
        try:
            found = path.stat()
        except OSError:
            return False
        return found.st_size > 0 and (self._since == 0 or found.st_mtime_ns > self._since)

    def _compare(self, record: Path, settings: dict[str, Any]) -> int:
        """DataError if the settings are not the recorded ones; returns since when these hold."""
        try:
            before = json.loads(read_bytes(record))
            if not isinstance(before, dict):
                raise ValueError("it is no table of settings")
            since = before.pop(SINCE, 0)
            if type(since) is not int:
                raise ValueError(f'"{SINCE}" is no whole number')
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f'cannot read "{record}": {error}. Use --overwrite, or another --out.') from error
        changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        if changed:
            raise DataError(
                f'the results in "{self.folder}" were made with other settings ({", ".join(changed)}). '
                "Use another --out, or --overwrite to make them anew."
            )
        return since
