"""What a user asks for when a net is made segmentation-aware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.kernels.distance.registry import find_distance, unknown_distance

MOST_TAPS = 101
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Masking:
    """How masks are made, exp(-|lambda d|) of distances d of embeddings.

    Attributes
    ----------
    layers:
        Patterns of names of convolutions (``*`` stands for any text); none for a CRF alone.
    norm:
        d: "l1" (Σ|difference|), "l2" (½Σ difference²), or what `segcaffe.functional.register_distance` added.
    sharpness:
        lambda to start with, one number for each convolution; with 0 the net computes what it did.
    learn:
        Whether lambda is learnt.
    """

    layers: tuple[str, ...] = ("*",)
    norm: str = "l1"
    sharpness: float = 0.1
    learn: bool = True

    def __post_init__(self) -> None:
        """Check the values. Raises SegcaffeError."""
        if find_distance(self.norm) is None:
            raise SegcaffeError(unknown_distance(self.norm))
        if not 0 <= self.sharpness <= _LARGEST:
            raise SegcaffeError(f"lambda must be a number from 0 to {_LARGEST:.2g}. Received: {self.sharpness}.")


@dataclass(frozen=True)
class Crf:
    """A mean field on embeddings and positions behind a net's scores, as the paper's nets end with.

    Attributes
    ----------
    scores:
        The blob of scores (N, classes, H, W); empty for what the first loss reads, or the net's last scores.
    iterations:
        Of the mean field.
    kernel, dilation:
        Window of embeddings and positions, ``dilation`` None for one that fits the size of the scores.
    scale:
        Factor on embeddings to start with; it is learnt.
    """

    scores: str = ""
    iterations: int = 2
    kernel: int = 13
    dilation: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the values. Raises SegcaffeError."""
        if not 1 <= self.kernel <= MOST_TAPS or self.kernel % 2 == 0:
            raise SegcaffeError(f"The CRF's kernel must be odd, 1 to {MOST_TAPS}. Received: {self.kernel}.")
        if self.iterations < 2 or (self.dilation is not None and self.dilation < 1):
            raise SegcaffeError("The CRF needs 2 iterations or more, and a dilation of 1 or more.")


@dataclass(frozen=True)
class Setting:
    """In which states a net is looked at, and what is known of its sizes.

    Attributes
    ----------
    shapes:
        Shapes of blobs that data layers or inputs make, where the net does not say them.
    image:
        The blob of images that embeddings are made of; empty for the first that data layers make.
    level, stages:
        Of the net's states, beside the phases TRAIN and TEST.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    image: str = ""
    level: int = 0
    stages: tuple[str, ...] = ()
