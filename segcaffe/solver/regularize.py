"""What happens to gradients before the algorithm sees them: clipping, division by iter_size, weight decay.

The three are factors of the fused update kernels: ``g * scale + l2 * w + l1 * sign(w)``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import NamedTuple

from segcaffe.blob import Blob
from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import SolverParameter

_log = logging.getLogger("segcaffe")
_TYPES = ("L1", "L2")


class Decay(NamedTuple):
    """Factors of the decay terms ``l2 * w`` and ``l1 * sign(w)``; at most one of them is not zero."""

    l2: float
    l1: float


def check_regularization(param: SolverParameter) -> None:
    """Raise PrototxtError unless ``regularization_type`` is L1 or L2."""
    given = param.regularization_type
    if given not in _TYPES:
        hint = did_you_mean(given, _TYPES)
        raise PrototxtError(f'Solver: regularization_type is "L1" or "L2". Received: "{given}".{hint}')


def decay(param: SolverParameter, weight_decay: float, decay_mult: float) -> Decay:
    """Return the decay of a parameter whose multiplier is ``decay_mult``, in an iteration of that weight decay."""
    factor = weight_decay * decay_mult
    return Decay(0.0, factor) if param.regularization_type == "L1" else Decay(factor, 0.0)


def gradient_scale(param: SolverParameter, blobs: Iterable[Blob]) -> float:
    """Return the factor of all gradients: clipping to the norm ``clip_gradients``, then the mean over ``iter_size``."""
    scale = 1.0 / param.iter_size
    if param.clip_gradients < 0:
        return scale
    norm = gradient_norm(blobs)
    if norm <= param.clip_gradients:
        return scale
    clip = param.clip_gradients / norm
    _log.info(
        "Gradient clipping: scaling down gradients (L2 norm %.6g > %.6g) by scale factor %.6g",
        norm,
        param.clip_gradients,
        clip,
    )
    return clip * scale


def gradient_norm(blobs: Iterable[Blob]) -> float:
    """Return the L2 norm over the gradients of all blobs together."""
    squares = 0.0
    for blob in blobs:
        flat = blob.grad.reshape(-1)
        squares = squares + flat.dot(flat)
    return math.sqrt(float(squares))
