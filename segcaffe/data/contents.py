"""What a database or a list holds, item by item, whatever its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.database import Database, Value
from segcaffe.data.database_writer import backend_of, is_database
from segcaffe.data.datum import datum_array, datum_image, parse_datum
from segcaffe.data.images import read_image
from segcaffe.data.label_files import read_labels
from segcaffe.data.lists import Entry, read_list
from segcaffe.data.palettes import Palette
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.files.there import is_dir
from segcaffe.text.digits import signed_number

Array = NDArray[Any]


@dataclass(frozen=True)
class Item:
    """An image (H, W, C) with its label: a class, a label map (H, W), or none.

    ``place`` says where it comes from, for messages.
    """

    name: str
    place: str
    image: Array
    label: int | Array | None


class Items:
    """The items of a database (a folder) or of a list (a text file), decoded in threads, in their order.

    Parameters
    ----------
    source:
        The database or list.
    where:
        How messages start.
    root:
        What stands before the names of a list.
    color:
        Three channels, or one; only for lists.
    labels:
        Whether label maps of a list are read.
    palette:
        Labels by colour, for label maps in colour.
    """

    def __init__(
        self,
        source: str,
        where: str,
        root: str = "",
        color: bool = True,
        labels: bool = False,
        palette: Palette | None = None,
    ) -> None:
        self.source, self.where, self.root, self.color, self.labels = source, where, root, color, labels
        self.palette = palette
        path = Path(source)
        if is_dir(path) and not is_database(path):
            raise DataError(f'{where}: the folder "{source}" holds no database; give a database or a list file.')
        self.database = Database(source, backend_of(path), where) if is_database(path) else None
        if self.database and not color:
            raise DataError(f'{where}: --gray is for lists; "{source}" is a database, of images as they are.')
        self.entries = [] if self.database else read_list(source, where, "list")

    def __len__(self) -> int:
        return self.database.count() if self.database else len(self.entries)

    def arrays(self, start: int = 0, count: int | None = None) -> Iterator[Item | DataError]:
        """Items ``start`` to ``start + count``, or all from there; an item that can't be read as its error."""
        stop = len(self) if count is None else min(len(self), start + count)
        if self.database is None:
            return ordered(self._of_list, self.entries[start:stop])
        database = self.database
        return ordered(self._of_database, ((i, database.value(i)) for i in range(start, stop)))

    def _of_list(self, entry: Entry) -> Item:
        words = entry.words
        context = f"{self.where}: {entry.place}"
        if len(words) > 1 and is_integer(words[-1]):
            name, _, label = entry.text.replace("\t", " ").rpartition(" ")
            return Item(name.strip(), context, read_image(self.root + name.strip(), self.color, context), int(label))
        image = read_image(self.root + words[0], self.color, context)
        if len(words) < 2 or not self.labels:
            return Item(words[0], context, image, None)
        return Item(words[0], context, image, read_labels(Path(self.root + words[1]), context, self.palette))

    def _of_database(self, numbered: tuple[int, Value]) -> Item:
        number, value = numbered
        where = f'{self.where}: "{self.source}", {value.place}'
        datum = parse_datum(bytes(value.content), where)
        if datum.encoded:
            return Item(f"{number}", where, datum_image(datum, None, where), datum.label)
        return Item(f"{number}", where, np.asarray(datum_array(datum, where)).transpose(1, 2, 0), datum.label)


def is_integer(word: str) -> bool:
    """Whether a word is a decimal integer."""
    return signed_number(word) is not None
