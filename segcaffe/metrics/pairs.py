"""How well distances between neighbouring pixels tell same from different labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.data.opencv import hold_threads

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PairScores:
    """ROC AUC of "distance is larger for pairs of different labels"; 0.5 is chance, 1 perfect.

    ``all`` is over all neighbour pairs, ``boundary`` over pairs whose first pixel lies near a boundary of the labels.
    """

    all: float
    boundary: float
    pairs: int


def neighbour_pairs(embedding: Array, label: Array, dilations: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """L1 distances, "labels differ", and "near a boundary" of each unordered 8-neighbour pair of an image.

    Parameters
    ----------
    embedding:
        (E, H, W).
    label:
        (H, W); pairs with label 255 are left out.
    dilations:
        Steps, in pixels, at which neighbours lie.
    """
    near = near_boundary(label)
    distances, different, boundary = [], [], []
    for d in dilations:
        for dy, dx in ((0, d), (d, 0), (d, d), (d, -d)):
            a, b = _shifted(dy, dx)
            labels = label[a], label[b]
            keep = (labels[0] != 255) & (labels[1] != 255)
            distances.append(np.abs(embedding[:, a[0], a[1]] - embedding[:, b[0], b[1]]).sum(0)[keep])
            different.append((labels[0] != labels[1])[keep])
            boundary.append(near[a][keep])
    return np.concatenate(distances), np.concatenate(different), np.concatenate(boundary)


def near_boundary(label: Array, radius: int = 5) -> Array:
    """Whether a pixel (H, W) lies within ``radius`` pixels of one with another label."""
    import cv2

    hold_threads()
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    lowest = cv2.erode(label.astype(np.uint8), kernel)
    highest = cv2.dilate(label.astype(np.uint8), kernel)
    return np.asarray(lowest != highest)


def roc_auc(scores: Array, positive: Array) -> float:
    """Area under the ROC curve: chance that a positive's score exceeds a negative's, ties counting half."""
    from scipy.stats import rankdata

    num_positive = int(positive.sum())
    num_negative = positive.size - num_positive
    if num_positive == 0 or num_negative == 0:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def score_pairs(
    embeddings: list[Array], labels: list[Array], dilations: tuple[int, ...] = (1, 2, 5), limit: int = 200_000
) -> PairScores:
    """Score embeddings (E, H, W) of several images against their labels (H, W), over at most ``limit`` pairs each."""
    rng = np.random.default_rng(0)
    parts = []
    for embedding, label in zip(embeddings, labels, strict=True):
        distances, different, boundary = neighbour_pairs(embedding, label, dilations)
        chosen = rng.permutation(distances.size)[: max(1, limit // max(1, len(labels)))]
        parts.append((distances[chosen], different[chosen], boundary[chosen]))
    distances, different, boundary = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairScores(
        roc_auc(distances, different), roc_auc(distances[boundary], different[boundary]), int(distances.size)
    )


def _shifted(dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index pairs (p, p + (dy, dx)) as slices; dy is not negative."""
    rows = slice(None, -dy or None), slice(dy, None)
    if dx >= 0:
        columns = slice(None, -dx or None), slice(dx, None)
    else:
        columns = slice(-dx, None), slice(None, dx)
    return (rows[0], columns[0]), (rows[1], columns[1])
