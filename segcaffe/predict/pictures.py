"""The images to predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segcaffe.data.image_kinds import IMAGE_SUFFIXES, image_files, is_image
from segcaffe.data.lists import read_list
from segcaffe.errors import DataError
from segcaffe.files.there import is_dir


@dataclass(frozen=True)
class Picture:
    """An image to predict: its id (the file's name without folder and suffix), path, and place for messages."""

    id: str
    path: str
    place: str


def find_pictures(source: str, root: str = "") -> list[Picture]:
    """The images of a file, of a folder, or of a list (the first word of each line, after ``root``).

    Raises
    ------
    DataError
        Nothing is there, or two images have one id.
    """
    path = Path(source)
    if is_dir(path):
        found = [Picture(file.stem, str(file), "images") for file in image_files(path)]
    elif is_image(path) or path.suffix.lower() in IMAGE_SUFFIXES:
        found = [Picture(path.stem, source, "images")]
    else:
        entries = read_list(source, "images", "the list")
        names = [(root + entry.words[0], entry.place) for entry in entries]
        found = [Picture(Path(name).stem, name, place) for name, place in names]
    if not found:
        raise DataError(f'the folder "{source}" holds no image.')
    seen: dict[str, str] = {}
    for picture in found:
        if seen.setdefault(picture.id, picture.path) != picture.path:
            raise DataError(
                f'"{seen[picture.id]}" and "{picture.path}" would both be written as {picture.id}; '
                "predict them into two folders."
            )
    return found
