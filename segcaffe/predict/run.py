"""Predict many images into a folder, going on where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segcaffe.data.files import BadItems
from segcaffe.data.images import Image, read_image
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.parallel import group
from segcaffe.predict.loaded import Array, LoadedNet
from segcaffe.predict.pictures import Picture
from segcaffe.predict.result_folder import ResultFolder


def predict_all(
    predictor: LoadedNet,
    pictures: Sequence[Picture],
    results: ResultFolder[Array],
    bad: BadItems | None = None,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Predict the pictures that have no results yet, reading ahead; returns how many were made.

    Processes that work together share them out.

    Raises
    ------
    DataError
        An image can't be read (unless ``bad`` lets it be left out), or a result not written. What is written stays.
    """
    bad, ranks = bad or BadItems(), group()
    pictures = ranks.own(ranks.from_first(results.missing(pictures)))
    done = 0

    def read(picture: Picture) -> Image:
        return read_image(picture.path, predictor.color, picture.place)

    try:
        for picture, image in zip(pictures, ordered(read, pictures), strict=True):
            if isinstance(image, DataError):
                bad.add(image)
            else:
                results.write(picture, image, predictor.answer_picture(picture, image))
                done += 1
            progress()
    finally:
        results.sync()
    bad.join(ranks)
    return sum(ranks.gather(done))
