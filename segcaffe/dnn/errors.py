"""Errors of `segcaffe.dnn`: sentences, as everywhere, that scripts for OpenCV catch as ``cv2.error``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2

from segcaffe.errors import SegcaffeError, did_you_mean

if TYPE_CHECKING:
    OpenCVError = Exception
else:
    OpenCVError = cv2.error


class DnnError(SegcaffeError, OpenCVError):
    """A net can't be read or run, or is asked for what it does not have.

    It is of the type of the segcaffe error that it is made of too, with its layer and place.
    """

    joins = SegcaffeError


class NotBuiltError(DnnError, AttributeError):
    """OpenCV's nets have a member that these have not."""


@contextmanager
def as_dnn_error() -> Iterator[None]:
    """Have errors of segcaffe that arise meanwhile be of OpenCV's kind too."""
    try:
        yield
    except DnnError:
        raise
    except SegcaffeError as error:
        raise DnnError(error.text()) from error


def unknown(what: str, name: Any, known: list[str]) -> DnnError:
    """The error for a name that the net does not have."""
    return DnnError(f'The net has no {what} "{name}".{did_you_mean(str(name), known)} Known: {", ".join(known)}.')
