"""What the page shows: views through masks, and images with what a net made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segcaffe.functional.masks import Norm

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class View:
    """A mask: how far the pixels of a window are from its centre, and what each of them counts for that.

    A pixel counts exp(-scale · distance), or, with ``sum_to``, that divided so that a window's weights add up to it.

    Attributes
    ----------
    name, about:
        What the page calls the view, and a sentence on it.
    embedding:
        The blob whose values are compared.
    kernel, dilation:
        The window: taps along a side (odd), and how many cells of the blob's grid they lie apart.
    scale:
        How fast the mask falls with distance, λ.
    norm:
        "l1" for distances Σ|d|, "l2" for ½Σd².
    sum_to:
        What a window's weights add up to: 1, or the number of taps; 0 where they are not divided.
    remove_center, remove_bounds:
        Whether the centre, and what lies outside the image, count nothing (otherwise the distance there is 0).
    """

    name: str
    embedding: str
    kernel: int = 9
    dilation: int = 1
    scale: float = 1.0
    norm: Norm = "l1"
    sum_to: int = 0
    remove_center: bool = False
    remove_bounds: bool = False
    about: str = ""


@dataclass(frozen=True)
class Scene:
    """An image and what a net made of it.

    Attributes
    ----------
    name:
        What the page calls it.
    image:
        (H, W, 3), uint8, BGR.
    extent:
        Height and width that the image was padded to, right and below. A blob's grid covers all of it, its first and
        last cells lying on the first and last pixels.
    embeddings:
        Blobs (E, h, w), by name.
    labels:
        Label maps (H, W), uint8, by what they are: "truth", "prediction", "before" (the CRF); all optional.
    """

    name: str
    image: Array
    extent: tuple[int, int]
    embeddings: Mapping[str, Array]
    labels: Mapping[str, Array] = field(default_factory=dict)
