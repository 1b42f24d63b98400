"""Sharpening the scores of any model by a guide: the bilateral cascade, or mean-field inference in a CRF."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segcaffe import functional
from segcaffe.data.files import check_output, write_bytes
from segcaffe.data.images import read_bytes, read_image, resize
from segcaffe.data.png import write_label
from segcaffe.device.host_memory import require
from segcaffe.errors import DataError, SegcaffeError, ShapeError
from segcaffe.files.limits import Budget
from segcaffe.files.npy import DAMAGE, array_of_bytes, read_member
from segcaffe.files.there import exists

Array = NDArray[Any]

ARRAYS = (".npy", ".npz")
OUTPUTS = (".npy", ".png")
_MOST_CLASSES = 256
_LEAST_PROBABILITY = 1e-5
"""A probability of 0 would have an infinite logarithm."""
_BEYOND = 1e-3
"""How far rounding may take a probability out of 0 to 1."""


class Method(NamedTuple):
    """A way to sharpen scores.

    Attributes
    ----------
    function:
        Of scores (N, C, H, W), a guide (N, E, H, W) and the options by name.
    options:
        What the function is called with, for a guide of embeddings, depth or other features.
    colours:
        What differs for a guide of colours from 0 to 255, by norm ("" where the method has none).
    """

    function: Callable[..., Array]
    options: Mapping[str, Any]
    colours: Mapping[str, Mapping[str, float]]


METHODS = {
    "cascade": Method(
        functional.bilateral_cascade,
        {"kernel_size": 9, "dilation": 1, "norm": "l1", "scale": 50.0, "rounds": 2},
        {"l1": {"scale": 0.05}, "l2": {"scale": 0.01}},
    ),
    "local-crf": Method(
        functional.local_meanfield,
        {"weight": 5.0, "kernel_size": 9, "dilation": 1, "scale": 1.0, "iterations": 3},
        # A deviation of 13 levels, as that of the dense CRF.
        {"": {"scale": 1 / 13**2}},
    ),
    "dense-crf": Method(
        functional.permutohedral_meanfield,
        {
            "spatial": 3.0,
            "bilateral": 10.0,
            "theta_alpha": 80.0,
            "theta_beta": 1.0,
            "theta_gamma": 3.0,
            "iterations": 5,
        },
        {"": {"theta_beta": 13.0}},
    ),
}


class Guide(NamedTuple):
    """What tells pixels apart.

    Attributes
    ----------
    values:
        (1 or N, E, H, W).
    colours:
        Whether they are 8-bit colours, 0 to 255.
    """

    values: Array
    colours: bool


def read_scores(path: str, key: str = "", probabilities: bool = False) -> Array:
    """Scores (C, H, W) or (N, C, H, W) before a softmax, float32 or float64, of a .npy or .npz file.

    Parameters
    ----------
    key:
        The array's name in an .npz archive; not needed where there is one only.
    probabilities:
        The file holds probabilities; their logarithms are the scores.

    Raises
    ------
    DataError
        The file can't be read, or holds no such array.
    """
    where = f"SCORES {path}"
    if Path(path).suffix.lower() not in ARRAYS:
        raise DataError(f"{where}: scores are read from .npy or .npz files.")
    values = _read_array(path, "SCORES", key)
    if values.ndim not in (3, 4) or not values.size or values.dtype.kind != "f":
        raise DataError(
            f"{where}: it must hold scores of shape (C, H, W) or (N, C, H, W) as floating-point numbers. "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    values = _finite(values, np.float64 if values.dtype.itemsize >= 8 else np.float32, where)
    if not probabilities:
        return values
    if values.min() < -_BEYOND or values.max() > 1 + _BEYOND:
        received = f"{values.min():g} to {values.max():g}"
        raise DataError(f"{where}: probabilities lie from 0 to 1; leave --probabilities out. Received: {received}.")
    return np.asarray(np.log(np.maximum(values, values.dtype.type(_LEAST_PROBABILITY))))


def read_guide(path: str, dtype: Any) -> Guide:
    """A guide in ``dtype``: an image, or features of a .npy or .npz file, (H, W), (E, H, W) or (N, E, H, W).

    Arrays of 8-bit numbers are taken for colours, as images are. DataError where there is nothing of the kind.
    """
    where = f"GUIDE {path}"
    if Path(path).suffix.lower() not in ARRAYS:
        return Guide(read_image(path, True, "GUIDE").transpose(2, 0, 1)[None].astype(dtype), True)
    values = _read_array(path, "GUIDE", "")
    if values.ndim not in (2, 3, 4) or not values.size or values.dtype.kind not in "fiub":
        raise DataError(
            f"{where}: it must hold features of shape (E, H, W) or (N, E, H, W), or depth (H, W), as numbers. "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    four = values.reshape((1,) * (4 - values.ndim) + values.shape)
    return Guide(_finite(four, dtype, where), values.dtype == np.uint8)


def looks_like_probabilities(scores: Array) -> bool:
    """Whether scores (N, C, H, W) of several classes are from 0 to 1 and add up to 1 at each pixel."""
    if scores.shape[1] < 2 or scores.min() < 0 or scores.max() > 1:
        return False
    return bool(np.abs(scores.sum(axis=1) - 1).max() < _BEYOND)


def fitted(guide: Guide, scores: Array) -> Guide:
    """The guide in the height and width of the scores (N, C, H, W), bilinear.

    ShapeError for another batch size, and where either fits the other once its channels, which are last, come first.
    """
    values, (height, width) = guide.values, scores.shape[2:]
    for name, verb, one, other in (("scores", "seem", scores, values), ("guide", "seems", values, scores)):
        if one.shape[2:] != other.shape[2:] == one.shape[1:3]:
            raise ShapeError(
                f"the {name} {verb} to have channels last. Received: {' x '.join(map(str, one.shape[1:]))}, beside "
                f"{other.shape[2]} x {other.shape[3]} pixels. Bring these to the front: numpy.moveaxis(array, -1, -3)."
            )
    if len(values) not in (1, len(scores)):
        raise ShapeError(
            f"the guide must be one for all images, or one for each. Received: {len(values)} guides for "
            f"{len(scores)} images of scores."
        )
    if values.shape[2:] == (height, width):
        return guide
    require(values[:, :, :1, :1].nbytes * height * width)
    # Plane by plane: OpenCV has a limit on channels.
    planes = [resize(plane, height, width)[:, :, 0] for plane in values.reshape(-1, *values.shape[2:])]
    return guide._replace(values=np.stack(planes).reshape(*values.shape[:2], height, width))


def settings(method: str, colours: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method: those given, and defaults that suit the kind of guide."""
    own = METHODS[method]
    found = {**own.options, **given}
    fit = own.colours.get(found.get("norm", ""), {}) if colours else {}
    return {**found, **{name: value for name, value in fit.items() if name not in given}}


def refine(
    method: str, scores: Array, guide: Guide, given: Mapping[str, Any], advance: Callable[[], object] = lambda: None
) -> Array:
    """Sharpen scores (N, C, H, W), one image after the other.

    Parameters
    ----------
    method:
        One of `METHODS`.
    guide:
        Of the scores' height and width, see `fitted`.
    given:
        Options that are not the method's defaults.
    advance:
        Called after each image.

    Raises
    ------
    ShapeError
        Options make no window, or scores are of one class in a CRF.
    DataError
        The result has infinite values.
    """
    if method != "cascade" and scores.shape[1] < 2:
        raise ShapeError("a CRF weighs classes against each other: scores need 2 or more. Received: 1.")
    options = settings(method, guide.colours, given)
    if "weight" in options:
        options["weight"] = np.eye(scores.shape[1], dtype=scores.dtype) * scores.dtype.type(options["weight"])
    if method == "cascade":
        require(options["kernel_size"] ** 2 * scores[0, 0].nbytes)
    refined = np.empty_like(scores)
    for number, image in enumerate(scores):
        own = guide.values[number % len(guide.values)]
        with np.errstate(over="ignore", invalid="ignore"):
            refined[number] = METHODS[method].function(image[None], own[None], **options)[0]
        advance()
    if not np.isfinite(refined).all():
        raise DataError("the result has NaN or infinite values: scores, guide or options are too large in size.")
    return refined


def check_target(target: Path, scores: Array, *sources: str) -> None:
    """Check, before the work, that scores can be written there, and that it is none of the files read.

    DataError for another format than .npy and .png, for a .png of several images, and for a source.
    """
    suffix = target.suffix.lower()
    if suffix not in OUTPUTS:
        raise DataError(f"OUTPUT {target}: name a file .npy (scores) or .png (labels).")
    images, classes = (len(scores) if scores.ndim == 4 else 1), scores.shape[-3]
    if suffix == ".png" and (images > 1 or not 2 <= classes <= _MOST_CLASSES):
        raise DataError(
            f"OUTPUT {target}: a .png holds the labels of one image, of 2 to {_MOST_CLASSES} classes; name a .npy. "
            f"Received: {images} of {classes} classes."
        )
    for source in sources:
        if exists(target) and target.samefile(source):
            raise DataError(f"OUTPUT {target}: it is {source}, which is read; name another file.")
    check_output(target, "the result")


def write_refined(target: Path, scores: Array) -> None:
    """Write scores (C, H, W) or (N, C, H, W), or the labels of one image; the file appears when it is complete."""
    if target.suffix.lower() == ".png":
        write_label(target, scores.reshape(scores.shape[-3:]).argmax(axis=0), "the result")
        return
    content = io.BytesIO()
    np.save(content, scores)
    write_bytes(target, content.getvalue(), "the result")


def _finite(values: Array, dtype: Any, where: str) -> Array:
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, dtype)
    if not np.isfinite(found).all():
        raise DataError(f"{where}: it has NaN or infinite values, or too large ones for {found.dtype}.")
    return found


def _read_array(path: str, role: str, key: str) -> Array:
    content, where = read_bytes(path, role), f"{role} {path}"
    if Path(path).suffix.lower() == ".npz":
        return _from_archive(content, where, key)
    if key:
        raise DataError(f"{where}: --key names an array of an .npz archive, and this is none; leave it out.")
    try:
        return array_of_bytes(content)
    except ValueError as error:
        raise DataError(f"{where}: is not an array of numbers in .npy format, or is damaged: {error}.") from error


def _from_archive(content: bytes, where: str, key: str) -> Array:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if key not in members and (key or len(members) != 1):
                advice = f'has no array "{key}"' if key else "must hold one array, or --key says which (of SCORES)"
                raise DataError(f"{where}: it {advice}. Its arrays: {', '.join(members) or 'none'}.")
            return read_member(file, members[key] if key else next(iter(members.values())), Budget(where, len(content)))
    except SegcaffeError:
        raise
    except DAMAGE as error:
        raise DataError(f"{where}: the .npz file is damaged ({error}).") from error
