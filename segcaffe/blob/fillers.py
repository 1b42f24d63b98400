"""Fillers: how a parameter blob gets its first values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.blob.blob import Blob
from segcaffe.errors import ShapeError, did_you_mean
from segcaffe.proto import caffe_pb2
from segcaffe.threads import parallel

Filler = caffe_pb2.FillerParameter
_PIECE = 1 << 17
"""Numbers drawn from one stream: fixed, so that they do not depend on the threads."""
RANDOM = ("gaussian", "msra", "positive_unitball", "uniform", "xavier")
"""The types that draw values; the others compute them."""


def fill(blob: Blob, filler: Filler, where: str) -> None:
    """Overwrite a blob's values as ``filler`` says, drawing from the process's random stream.

    The types are those of Caffe (constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear) and ``xy``:
    for a blob (N, 2, H, W), channel 0 holds the column index and channel 1 the row index.

    Parameters
    ----------
    blob:
        The blob, its shape set.
    filler:
        Type and options; an empty one fills with zero.
    where:
        How error messages name the blob's owner, ``layer "conv1" (Convolution)``.

    Raises
    ------
    ShapeError
        The type is unknown, an option is out of range, or the type does not suit the blob's shape.
    """
    function = _FILLERS.get(filler.type)
    if function is None:
        hint = did_you_mean(filler.type, _FILLERS) or f" Known: {', '.join(_FILLERS)}."
        raise ShapeError(f'{where}: there is no filler of type "{filler.type}".{hint}')
    if filler.sparse != -1 and filler.type != "gaussian":
        raise ShapeError(f"{where}: only the gaussian filler can be sparse. Received: {_text(filler)}.")
    if blob.count > 0:
        function(blob, filler, where)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan-in and fan-out of a weight as Caffe defines them: its count divided by the extent of axis 0, of axis 1."""
    count = math.prod(shape)
    return count // (shape[0] if shape else 1), count // (shape[1] if len(shape) > 1 else 1)


def _constant(blob: Blob, filler: Filler, where: str) -> None:
    zero = blob.buffer("data").untouched
    values = blob.data
    if filler.value != 0 or not zero:  # Memory that is not written takes no time, and no room.
        values[...] = filler.value


def _uniform(blob: Blob, filler: Filler, where: str) -> None:
    if filler.min > filler.max:
        raise ShapeError(f"{where}: a uniform filler needs min <= max. Received: {_text(filler)}.")
    _draw_uniform(blob, filler.min, filler.max)


def _gaussian(blob: Blob, filler: Filler, where: str) -> None:
    if filler.std < 0:
        raise ShapeError(f"{where}: a gaussian filler needs std >= 0. Received: {_text(filler)}.")
    _draw_normal(blob, filler.mean, filler.std)
    if filler.sparse == -1:
        return
    outputs = blob.shape[0] if blob.shape else 1
    if not 0 <= filler.sparse <= outputs:
        raise ShapeError(
            f"{where}: sparse is a number of non-zero weights per input, 0 to {outputs} (the extent of axis 0). "
            f"Received: {_text(filler)}."
        )
    blob.data[...] *= device.generator().random(blob.shape) < filler.sparse / outputs


def _positive_unitball(blob: Blob, filler: Filler, where: str) -> None:
    _draw_uniform(blob, 0.0, 1.0)
    rows = blob.data.reshape(blob.shape[0] if blob.shape else 1, -1)
    rows /= rows.sum(axis=1, keepdims=True)


def _xavier(blob: Blob, filler: Filler, where: str) -> None:
    bound = math.sqrt(3 / _variance_divisor(blob, filler))
    _draw_uniform(blob, -bound, bound)


def _msra(blob: Blob, filler: Filler, where: str) -> None:
    _draw_normal(blob, 0.0, math.sqrt(2 / _variance_divisor(blob, filler)))


def _bilinear(blob: Blob, filler: Filler, where: str) -> None:
    if blob.ndim != 4 or blob.shape[2] != blob.shape[3]:
        raise ShapeError(
            f"{where}: a bilinear filler needs a weight of 4 axes with a square kernel. Received: shape {blob.shape}."
        )
    size = blob.shape[3]
    factor = (size + 1) // 2
    centre = (size - 1) / (2 * factor)
    ramp = 1 - np.abs(np.arange(size) / factor - centre)
    blob.data[...] = np.outer(ramp, ramp)


def _xy(blob: Blob, filler: Filler, where: str) -> None:
    if blob.ndim != 4 or blob.shape[1] != 2:
        raise ShapeError(f"{where}: an xy filler needs a blob of shape (N, 2, H, W). Received: shape {blob.shape}.")
    _, _, height, width = blob.shape
    blob.data[:, 0] = np.arange(width)
    blob.data[:, 1] = np.arange(height)[:, None]


_FILLERS: dict[str, Callable[[Blob, Filler, str], None]] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
    "xy": _xy,
}


def _variance_divisor(blob: Blob, filler: Filler) -> float:
    fan_in, fan_out = fans(blob.shape)
    if filler.variance_norm == Filler.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == Filler.FAN_OUT else fan_in


def _draw_uniform(blob: Blob, low: float, high: float) -> None:
    _draw(blob, "random", high - low, low)


def _draw_normal(blob: Blob, mean: float, std: float) -> None:
    _draw(blob, "standard_normal", std, mean)


def _draw(blob: Blob, method: str, scale: float, shift: float) -> None:
    """Fill with scale·random + shift; large blobs by several threads, each piece with a stream of its own."""
    values = blob.data.reshape(-1)

    def fill_part(generator: np.random.Generator, part: np.ndarray[Any, Any]) -> None:
        getattr(generator, method)(out=part, dtype=part.dtype.type)
        part *= scale
        part += shift

    if values.size <= _PIECE:
        fill_part(device.generator(), values)
        return
    seed = int(device.generator().integers(1 << 63))

    if method == "standard_normal" and values.dtype == np.float32:
        from segcaffe.kernels import normal

        normal.fill(seed, scale, shift, values)
        return

    def body(start: int, stop: int) -> None:
        for k in range(start, stop):
            fill_part(np.random.Generator(np.random.PCG64([seed, k])), values[k * _PIECE : (k + 1) * _PIECE])

    parallel.run(-(-values.size // _PIECE), body)


def _text(filler: Filler) -> str:
    return " ".join(str(filler).split())
