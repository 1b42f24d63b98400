"""MatWrite: blobs into MATLAB files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from segcaffe.data.mat import file_ids, write_mat
from segcaffe.errors import DataError
from segcaffe.files.lock import Lock, lock
from segcaffe.files.there import exists
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto.encoding import to_native
from segcaffe.trust.paths import check_inside
from segcaffe.trust.rules import check_written

log = logging.getLogger(__name__)


@register
class MatWrite(Layer):
    """Writes bottom i of forward pass k to ``<prefix><id>_blob_<i>.mat``; ids are the words of ``source``.

    bottom: any number, (N, C, H, W); no top. The variable is ``data``, W x H x C x N. Without ``source`` the id is
    ``iter_<k>``, k from 0. Of every ``period`` passes the first is written. A file that exists is left as it is,
    with a warning. The prefix is any path; ids may not lead out of its folder.
    """

    bottom_count = (1, None)
    top_count = (0, 0)
    sink = True
    gradient_to = ()
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ids."""
        param = self.param.mat_write_param
        if param.period < 1:
            raise self.fail("period must be at least 1", param.period)
        self.prefix = to_native(param.prefix)
        self.folder = Path(f"{self.prefix}x").parent
        self.ids = file_ids(to_native(param.source), param.strip, self.where) if param.HasField("source") else None
        for name in self.ids or ():
            self._path(name, 0)
        self.passes = 0
        self._lock: Lock | None = None
        self.told = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Only blobs of at most 4 axes can be written."""
        for blob in bottom:
            if blob.ndim > 4:
                raise self.fail("a .mat file holds at most 4 axes", f"shape {blob.shape}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Write the bottoms if it is this pass's turn."""
        check_written(self.where, self.folder)
        if self._lock is None:
            # Beside the folder, which programs list; where nothing can be written, writing says so.
            place = self.folder if self.folder.name else Path(self.prefix or "mat_write")
            with suppress(DataError):
                self._lock = lock(place, "MatWrite", "choose another prefix")
        if self.passes % self.param.mat_write_param.period == 0:
            for index, blob in enumerate(bottom):
                path = self._path(self._id(), index)
                if exists(path):
                    self._keep(path)
                else:
                    shape = (blob.num, blob.channels, blob.height, blob.width)
                    write_mat(path, blob.data.reshape(shape), self.where)
        self.passes += 1

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to send back."""

    def _path(self, name: str, index: int) -> Path:
        """The file of an id and a bottom; DataError where the id leads out of the folder of the prefix."""
        path = Path(f"{self.prefix}{name}_blob_{index}.mat")
        check_inside(self.folder, path, self.where)
        return path

    def _keep(self, path: Path) -> None:
        """Tell of the first file that is left as it is."""
        if not self.told:
            log.warning(
                '%s: "%s" exists and is left as it is, and so is every file that is there already; remove the files '
                "to have them written anew.",
                self.where,
                path,
            )
        self.told = True

    def _id(self) -> str:
        if self.ids is None:
            return f"iter_{self.passes}"
        if self.passes >= len(self.ids):
            raise DataError(
                f'{self.where}: source "{self.param.mat_write_param.source}" names {len(self.ids)} files, and this is '
                f"forward pass {self.passes + 1}; run fewer passes or name more files."
            )
        return self.ids[self.passes]
