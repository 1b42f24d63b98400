"""The compiled loops over planes, rows and runs of pixels; arrays are flat, sizes come in a `plan.Layout`.

A segment has `FIELDS` numbers: first row, step and number of rows of the target; first row and step of the source;
and for each of two phases along a row the first tap and the number of taps.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.depthwise.plan import PLAIN, STRIDED
from segcaffe.kernels.convolution.depthwise.runs import (
    MANY_TAPS,
    ROWS,
    SOME_TAPS,
    TAP,
    convolve_1,
    convolve_4,
    convolve_phases_1,
    convolve_phases_4,
    convolve_strided_1,
    convolve_strided_4,
    correlate_1,
    correlate_3,
    correlate_9,
    correlate_strided_1,
    correlate_strided_3,
    correlate_strided_9,
    slide,
    slide_pair,
    slide_strided,
    slide_strided_pair,
    sum_lanes,
)
from segcaffe.kernels.convolution.ending import end_rows, kind_of

FIELDS = 9


@njit(nogil=True, cache=True)
def slide_planes(source, weight, epilogue, target, layout, start, stop):
    """Compute planes [start, stop) of the target, counted over images and channels, where the kernel slides."""
    stride = 1 if layout.kind == PLAIN else 2
    step = layout.target_width
    epilogue, ending = epilogue
    kind = kind_of(ending)
    source_plane, target_plane = layout.source_height * layout.source_width, layout.target_height * layout.target_width
    for plane in range(start, stop, 2 if layout.paired else 1):
        channel = plane % layout.channels
        # The last of an odd number of planes is its own second, and written twice.
        ahead = 1 if layout.paired and plane + 1 < stop else 0
        further = (plane + ahead) % layout.channels - channel
        second = ahead * source_plane, further * layout.taps, further, ahead * target_plane
        factors = weight, channel * layout.taps + layout.first_place, layout.place_step
        for first in range(0, layout.target_height, layout.block):
            count = min(layout.block, layout.target_height - first)
            rows = first * stride + layout.top, layout.source_height, count
            for run in range(layout.runs):
                column, pixel = run * layout.source_run + layout.left, run * layout.target_run
                edge = column, layout.source_width, min(layout.target_run, layout.target_width - pixel)
                x = source, plane * source_plane + column
                out = target, plane * target_plane + first * layout.target_width + pixel, step
                if layout.kind == PLAIN and layout.paired:
                    slide_pair(x, factors, rows, edge, epilogue, channel, out, second)
                elif layout.kind == PLAIN:
                    slide(x, factors, rows, edge, epilogue, channel, out, second)
                elif layout.paired:
                    slide_strided_pair(x, factors, rows, edge, epilogue, channel, out, second)
                else:
                    slide_strided(x, factors, rows, edge, epilogue, channel, out, second)
        for one in range(plane, plane + 1 + ahead):
            end_rows(target, one * target_plane, 1, 0, target_plane, ending, kind, one % layout.channels)


@njit(nogil=True, cache=True)
def convolve_planes(source, weight, epilogue, target, layout, taps, segments, start, stop):
    """Compute planes [start, stop) of the target, counted over images and channels."""
    epilogue, ending = epilogue
    kind = kind_of(ending)
    target_plane = layout.target_height * layout.target_width
    for plane in range(start, stop):
        channel = plane % layout.channels
        factors = weight, channel * layout.taps
        for at in range(0, segments.size, FIELDS):
            row, step, rows = segments[at], segments[at + 1] * layout.target_width, segments[at + 2]
            source_row, source_step = segments[at + 3], segments[at + 4] * layout.source_width
            ranges = segments[at + 5], segments[at + 6], segments[at + 7], segments[at + 8]
            for run in range(layout.runs):
                column, pixel = run * layout.source_run, run * layout.target_run
                edge = column, layout.source_width, min(layout.target_run, layout.target_width - pixel)
                x = (plane * layout.source_height + source_row) * layout.source_width + column
                out = (plane * layout.target_height + row) * layout.target_width + pixel
                for _ in range(rows // ROWS):
                    _convolve(
                        layout.kind, True, (source, x, source_step), taps, factors, ranges, edge, epilogue, channel,
                        (target, out, step),
                    )  # fmt: skip
                    x += ROWS * source_step
                    out += ROWS * step
                for _ in range(rows % ROWS):
                    _convolve(
                        layout.kind, False, (source, x, source_step), taps, factors, ranges, edge, epilogue, channel,
                        (target, out, step),
                    )  # fmt: skip
                    x += source_step
                    out += step
        end_rows(target, plane * target_plane, 1, 0, target_plane, ending, kind, channel)


@njit(inline="always")
def _convolve(kind, many, source, taps, factors, ranges, edge, epilogue, channel, target):
    if kind == PLAIN:
        if many:
            convolve_4(source, taps, factors, ranges, edge, epilogue, channel, target)
        else:
            convolve_1(source, taps, factors, ranges, edge, epilogue, channel, target)
    elif kind == STRIDED:
        if many:
            convolve_strided_4(source, taps, factors, ranges, edge, epilogue, channel, target)
        else:
            convolve_strided_1(source, taps, factors, ranges, edge, epilogue, channel, target)
    elif many:
        convolve_phases_4(source, taps, factors, ranges, edge, epilogue, channel, target)
    else:
        convolve_phases_1(source, taps, factors, ranges, edge, epilogue, channel, target)


@njit(nogil=True, cache=True)
def weight_gradient(x, grad_out, grad_weight, images, layout, taps, segments, lanes, start, stop):
    """Add to the gradients of the weights of channels [start, stop)."""
    sums = np.empty(layout.taps * lanes, x.dtype)
    for channel in range(start, stop):
        sums[:] = 0
        for image in range(images):
            plane = image * layout.channels + channel
            for at in range(0, segments.size, FIELDS):
                row, rows, first, count = segments[at], segments[at + 2], segments[at + 5], segments[at + 6]
                source_row, source_step = segments[at + 3], segments[at + 4] * layout.source_width
                for run in range(layout.runs):
                    column, pixel = run * layout.source_run, run * layout.target_run
                    edge = column, layout.source_width, min(layout.target_run, layout.target_width - pixel)
                    source = x, (plane * layout.source_height + source_row) * layout.source_width + column, source_step
                    from_row = (plane * layout.target_height + row) * layout.target_width + pixel
                    grads = grad_out, from_row, layout.target_width
                    tap = first
                    while tap < first + count:
                        left = first + count - tap
                        tap += _correlate(layout.kind, left, source, taps, tap, edge, grads, rows, sums)
        for tap in range(layout.taps):
            grad_weight[channel * layout.taps + taps[TAP * tap + 2]] += sum_lanes(sums, tap * lanes)


@njit(inline="always")
def _correlate(kind, left, source, taps, tap, edge, grads, rows, sums):
    """Add the products with as many of the taps ``left`` as there is a function for; how many these are."""
    if left >= MANY_TAPS:
        if kind == PLAIN:
            correlate_9(source, taps, tap, edge, grads, rows, sums)
        else:
            correlate_strided_9(source, taps, tap, edge, grads, rows, sums)
        return MANY_TAPS
    if left >= SOME_TAPS:
        if kind == PLAIN:
            correlate_3(source, taps, tap, edge, grads, rows, sums)
        else:
            correlate_strided_3(source, taps, tap, edge, grads, rows, sums)
        return SOME_TAPS
    if kind == PLAIN:
        correlate_1(source, taps, tap, edge, grads, rows, sums)
    else:
        correlate_strided_1(source, taps, tap, edge, grads, rows, sums)
    return 1
