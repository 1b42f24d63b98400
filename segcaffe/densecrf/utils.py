"""What ``pydensecrf.utils`` has: energies of labels and probabilities, features of grids and images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segcaffe.errors import ShapeError

Matrix = npt.NDArray[np.float32]


def unary_from_labels(labels: npt.ArrayLike, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Matrix:
    """Energies (n_labels, pixels) of labels that are right with probability ``gt_prob``.

    With ``zero_unsure`` label 0 means that nothing is known, and classes count from 1. Raises ShapeError for labels and
    probabilities outside their bounds.
    """
    if not 0 < gt_prob < 1:
        raise ShapeError(f"gt_prob must lie between 0 and 1. Received: {gt_prob!r}.")
    flat = np.asarray(labels).ravel().astype(np.int64)
    lowest, highest = (0, n_labels) if zero_unsure else (0, n_labels - 1)
    if flat.size and not (flat.min() >= lowest and flat.max() <= highest):
        raise ShapeError(f"Labels must lie in {lowest} to {highest}. Received: {flat.min()} to {flat.max()}.")
    with np.errstate(divide="ignore"):
        wrong = -np.log((1.0 - gt_prob) / np.float64(max(n_labels - 1, 0)))
    energies = np.full((n_labels, flat.size), wrong, np.float32)
    energies[flat - 1 if zero_unsure else flat, np.arange(flat.size)] = -np.log(gt_prob)
    if zero_unsure:
        energies[:, flat == 0] = -np.log(1.0 / n_labels)
    return energies


def unary_from_softmax(sm: npt.ArrayLike, scale: float | None = None, clip: float | None = 1e-5) -> Matrix:
    """Energies (classes, pixels) of probabilities (classes, ...).

    ``scale`` mixes them with that much certainty into equal ones; ``clip`` is the least probability.
    """
    probabilities = np.asarray(sm)
    if scale is not None:
        if not 0 < scale <= 1:
            raise ShapeError(f"scale must lie in (0, 1]. Received: {scale!r}.")
        probabilities = scale * probabilities + (1 - scale) / len(probabilities)
    if clip is not None:
        probabilities = np.clip(probabilities, clip, 1.0)
    with np.errstate(divide="ignore"):
        energies: Matrix = -np.log(probabilities).reshape(len(probabilities), -1).astype(np.float32)
    return energies


def compute_unary(labels: npt.ArrayLike, M: int, GT_PROB: float = 0.5) -> Matrix:
    """`unary_from_labels` under its old name, in which label 0 means that nothing is known."""
    warnings.warn("compute_unary is now unary_from_labels.", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: npt.ArrayLike, GT_PROB: float = 1) -> Matrix:
    """`unary_from_softmax` under its old name, without a least probability."""
    warnings.warn("softmax_to_unary is now unary_from_softmax.", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> Matrix:
    """Features (axes, points) of a grid's positions, divided by their deviations ``sdims``."""
    return _scaled(np.indices(shape, np.float32), sdims, "sdims").reshape(len(shape), -1)


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: npt.ArrayLike, chdim: int = -1
) -> Matrix:
    """Features (axes + channels, points) of an image's positions and values, divided by their deviations.

    ``chdim`` is the axis of the channels; -1: there is none.
    """
    image = np.asarray(img, np.float32)
    values = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    channels = [float(schan)] * len(values) if isinstance(schan, (int, float)) else schan
    positions = _scaled(np.indices(values.shape[1:], np.float32), sdims, "sdims")
    return np.concatenate([positions, _scaled(values, channels, "schan")]).reshape(len(sdims) + len(values), -1)


def _scaled(values: Matrix, deviations: Sequence[float], name: str) -> Matrix:
    if len(deviations) != len(values) or not all(d > 0 for d in deviations):
        raise ShapeError(f"{name} must be {len(values)} positive numbers. Received: {list(deviations)}.")
    shape = (-1, *[1] * (values.ndim - 1))
    return values / np.asarray(deviations, np.float32).reshape(shape)
