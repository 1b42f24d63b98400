"""Weights for the gradient of the image, which is a convolution by kernels turned around, the channels exchanged."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.winograd_panels.transforms import weights_2, weights_4
from segcaffe.kernels.vector.tile import STREAMS, clear_run, pick_run, vector_code

_TAPS = 9


@vector_code
def _turn_taps(vectors, target, start, width, source, place):
    """``target[start + t * width + j] = source[place + 9 * j + 8 - t]`` for a vector's j."""
    length = vectors.length
    parts = [vectors.load(vectors.at(vectors.at(source, place), i * length)) for i in range(_TAPS)]
    for t in range(_TAPS):
        elements = [_TAPS * j + _TAPS - 1 - t for j in range(length)]
        picked = parts[0]
        for i, part in enumerate(parts):
            lanes = [length + e % length if e // length == i else j for j, e in enumerate(elements)]
            picked = vectors.shuffle(picked, part, lanes)
        to = vectors.builder.mul(width, vectors.index(t))
        vectors.store(picked, vectors.at(vectors.at(target, start), to))


@njit(nogil=True, cache=True)
def transform_weights(weight, packed, layout, panels, start, stop):
    """Write panels [start, stop) of the weights, as `loops.transform_weights` does.

    ``weight`` is (channels of all groups, outputs of a group, 9): its first axis is that of the sums.
    """
    channels, length, rows = layout.channels, layout.vector, layout.outputs // layout.groups
    taps = np.empty(_TAPS * STREAMS * length, weight.dtype)
    for panel in range(start, stop):
        group, first, streams, output, live = panels[panel]
        width, whole = streams * length, live // length * length
        begin = first * length * channels * layout.size**2
        for c in range(channels):
            place = ((group * channels + c) * rows + output - group * rows) * _TAPS
            for j in range(0, whole, length):
                _turn_taps(taps, j, width, weight, place + j * _TAPS)
            for t in range(_TAPS if whole < width else 0):
                pick_run(taps, t * width + whole, weight, place + (whole + 1) * _TAPS - 1 - t, _TAPS, live - whole)
                clear_run(taps, t * width + live, width - live)
            for v in range(streams):
                to = begin + c * width + v * length
                if layout.step == 2:
                    weights_2(taps, v * length, width, packed, to, channels * width)
                else:
                    weights_4(taps, v * length, width, packed, to, channels * width)
