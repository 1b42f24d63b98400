"""Weights for nets that have none, of the size that training leaves."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from segcaffe.net.net import Net


def fill(net: Net) -> None:
    """Give parameters values by name, of the size that training leaves."""
    for name, blobs in net.params.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        for index, blob in enumerate(blobs):
            values = _values(net.layer_dict[name].type, index, blob.shape, rng)
            if values is not None:
                blob.data[...] = values


def _values(kind: str, index: int, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Values of a parameter; None to leave it as its filler made it."""
    if kind == "BatchNorm":
        return (0.1 * rng.standard_normal(shape), rng.uniform(0.5, 1.5, shape), 1.0)[index]
    if kind in ("Scale", "BN") and index == 0:
        return rng.uniform(0.3, 0.6, shape)
    if kind == "PReLU":
        return rng.uniform(0.1, 0.4, shape)
    if kind in ("Normalize", "NormConvMeanfield"):
        return None
    return rng.uniform(-0.1, 0.1, shape) if index else rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
