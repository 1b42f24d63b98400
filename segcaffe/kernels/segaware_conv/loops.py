"""The compiled loops of the CPU's masked convolution; arrays are flat, sizes come in a `layout.Layout`.

Positions (pixels of the output) are taken in strips of consecutive ones. For a strip, `locate` finds what all
channels share: the mask of each tap, 0 where the tap is outside the image, and where the tap lies in a channel's plane.
"""

from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.segaware_conv.strips import add_product, product
from segcaffe.kernels.vector import rows
from segcaffe.kernels.vector.tile import (
    ROWS,
    STREAMS,
    clear_run,
    copy_run,
)

EMPTY = -(1 << 62)
"""Instead of a place: no pixel of the strip has this tap inside the image."""
SCATTERED = EMPTY + 1
"""Instead of a place: the tap's pixels are not consecutive, see the table of single places."""


@njit(nogil=True, cache=True)
def gradients(x, mask, packed, grad_out, grad_x, grad_mask, layout, division, scratch, offsets, start, stop):
    """Compute items [start, stop) of the gradients of x and mask.

    An item is an image, a group, ``together`` parts of ``step`` channels and a piece of the blocks of strips (one of
    ``pieces``, which must be 1 where ``grad_x`` is wanted).
    ``packed`` (groups, tiles of the depth, rows, ROWS); ``grad_x`` is empty where it is not wanted; ``grad_mask``
    (groups * parts of the channels, images, taps, pixels) or empty.
    """
    step, block, together, pieces, _ = division
    columns, lines, sums, tables = scratch
    zeros = np.zeros(ROWS, x.dtype)
    taps, strip = layout.kernel_h * layout.kernel_w, layout.strip
    pixels, plane = layout.out_height * layout.out_width, layout.height * layout.width
    strips = (pixels + strip - 1) // strip
    blocks = (strips + block - 1) // block
    parts = (layout.channels + step - 1) // step
    several = (parts + together - 1) // together
    tiles = (layout.channels * taps + ROWS - 1) // ROWS
    for item in range(start, stop):
        piece, low = item % pieces, item // pieces % several * together
        place, high = item // (pieces * several), min(parts, low + together)
        image, group = place // layout.groups, place % layout.groups
        if grad_x.size > 0:
            count = min(layout.channels, high * step) - low * step
            clear_run(grad_x, (place * layout.channels + low * step) * plane, count * plane)
        for first in range(blocks * piece // pieces * block, blocks * (piece + 1) // pieces * block, block):
            here, q = min(block, strips - first), first * strip
            locate(layout, mask, image, q, here, tables)
            copy_lines(grad_out, place * layout.rows, layout.rows, pixels, q, here * strip, strip, lines)
            for part in range(low, high):
                count, channel = min(step, layout.channels - part * step), place * layout.channels + part * step
                tile = group * tiles + part * step * taps // ROWS
                pitch = _multiply_back(layout, packed, tile, count * taps, lines, here, offsets, zeros, columns)
                if grad_x.size > 0:
                    _scatter(grad_x, layout, channel, count, here, tables, columns, pitch)
                if grad_mask.size > 0:
                    target = (group * parts + part) * layout.images + image
                    _mask_sums(x, layout, channel, count, here, tables, columns, pitch, sums)
                    write_mask(grad_mask, target * taps * pixels, layout, q, here, tables.index, sums)


@njit(inline="always")
def _multiply_back(layout, packed, tile, depth, lines, count, offsets, zeros, columns):
    """Write a block's gradients of ``depth`` masked columns, strip after strip; return how far strips are apart."""
    strip, tiles = layout.strip, (depth + ROWS - 1) // ROWS
    pitch = tiles * ROWS * strip
    for t in range(tiles):
        begin = (tile + t) * ROWS * layout.rows
        for s in range(count):
            at = s * pitch + t * ROWS * strip
            first = s * strip * layout.rows
            rows.multiply(ROWS, lines, first, offsets, packed, begin, layout.rows, zeros, 0, columns, at, strip)
    return pitch


@njit(nogil=True, cache=True)
def weight_gradient(x, mask, grad_out, sums, layout, division, scratch, offsets, start, stop):
    """Compute items [start, stop) of the weights' gradient: a part of the blocks, a group, ``step`` channels.

    A block is ``block`` strips of an image. ``sums`` (parts, groups * tiles, depth filled up to STREAMS, ROWS).
    """
    step, block, _, _, parts = division
    columns, lines, _, tables = scratch
    taps, strip = layout.kernel_h * layout.kernel_w, layout.strip
    pixels, tiles = layout.out_height * layout.out_width, (layout.rows + ROWS - 1) // ROWS
    strips, pitch = (pixels + strip - 1) // strip, block * strip
    blocks = (strips + block - 1) // block
    pieces = (layout.channels + step - 1) // step
    depth = (layout.channels * taps + STREAMS - 1) // STREAMS * STREAMS
    for item in range(start, stop):
        piece, group, part = item % pieces, item // pieces % layout.groups, item // (pieces * layout.groups)
        count = min(step, layout.channels - piece * step)
        streams = (count * taps + STREAMS - 1) // STREAMS * STREAMS
        clear_run(columns, count * taps * pitch, (streams - count * taps) * pitch)
        for place in range(layout.images * blocks * part // parts, layout.images * blocks * (part + 1) // parts):
            image, first = place // blocks, place % blocks * block
            here, q = min(block, strips - first), first * strip
            channel = (image * layout.groups + group) * layout.channels + piece * step
            locate(layout, mask, image, q, here, tables)
            _columns(x, layout, channel, count, here, tables, columns, strip, pitch)
            for tile in range(tiles):
                live = min(ROWS, layout.rows - tile * ROWS)
                row = (image * layout.groups + group) * layout.rows + tile * ROWS
                _rows(grad_out, row, live, pixels, q, min(here * strip, pixels - q), lines, pitch)
                target = (((part * layout.groups + group) * tiles + tile) * depth + piece * step * taps) * ROWS
                for k in range(0, streams, STREAMS):
                    rows.correlate(live, lines, pitch, columns, 0, offsets, k, here * strip, sums, target + k * ROWS)


@njit(nogil=True, cache=True)
def add_parts(sums, parts, depth, width, weight_grad, rows, tiles, start, stop):
    """Add the partial sums of tiles [start, stop) to the weights' gradient; ``depth`` of ``width`` columns count."""
    size = sums.size // parts
    for tile in range(start, stop):
        first, group = tile % tiles * ROWS, tile // tiles
        for r in range(min(ROWS, rows - first)):
            for k in range(depth):
                total = sums.dtype.type(0)
                for part in range(parts):
                    total += sums[part * size + (tile * width + k) * ROWS + r]
                weight_grad[(group * rows + first + r) * depth + k] += total


@njit(nogil=True, cache=True)
def locate(layout, mask, image, q, count, tables):
    """For ``count`` strips from position q on, what all channels share, as tables (strips, taps, strip).

    ``weights`` is the mask, 0 outside the image; ``index`` the place in a channel's plane, -1 outside; ``places``
    (strips, taps) the place of the strip's first position if those of the others follow it.
    """
    weights, index, places = tables
    strip, taps = layout.strip, layout.kernel_h * layout.kernel_w
    pixels = layout.out_height * layout.out_width
    weights[: count * taps * strip] = 0
    index[: count * taps * strip] = -1
    places[: count * taps] = EMPTY
    v, stop = 0, min(count * strip, pixels - q)
    while v < stop:
        oy, ox = (q + v) // layout.out_width, (q + v) % layout.out_width
        s, at = v // strip, v % strip
        length = min(layout.out_width - ox, stop - v, strip - at)
        for t in range(taps):
            y = oy * layout.stride_h - layout.pad_h + t // layout.kernel_w * layout.dilation_h
            x = ox * layout.stride_w - layout.pad_w + t % layout.kernel_w * layout.dilation_w
            begin, end = rows.inside(layout.width, layout.stride_w, x, length)
            if 0 <= y < layout.height and begin < end:
                place, tap = y * layout.width + x, s * taps + t
                follows = layout.stride_w == 1 and (places[tap] == EMPTY or places[tap] == place - at)
                places[tap] = place - at if follows else SCATTERED
                copy_run(
                    weights, tap * strip + at + begin, mask, (image * taps + t) * pixels + q + v + begin, end - begin
                )
                # Unsigned: an index that may be negative would be checked for Python's wrap-around, one by one.
                first, step = np.uint64(tap * strip + at), layout.stride_w
                for u in range(np.uint64(begin), np.uint64(end)):
                    index[first + u] = place + np.int64(u) * step
        v += length


@njit(nogil=True, cache=True)
def _columns(x, layout, channel, channels, count, tables, columns, apart, pitch):
    """Write the masked columns of a block: strips ``apart``, columns ``pitch`` elements from each other."""
    weights, index, places = tables
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    for c in range(channels):
        base = (channel + c) * plane
        for s in range(count):
            at = s * apart + c * taps * pitch
            for i in range(s * taps, (s + 1) * taps):
                source = base + places[i]
                if places[i] == EMPTY:
                    clear_run(columns, at, strip)
                elif places[i] != SCATTERED and source >= 0 and source + strip <= x.size:
                    product(columns, at, weights, i * strip, x, source)
                else:
                    for v in range(strip):
                        j = index[i * strip + v]
                        columns[at + v] = weights[i * strip + v] * x[base + j] if j >= 0 else 0
                at += pitch


@njit(nogil=True, cache=True)
def _scatter(grad_x, layout, channel, channels, count, tables, columns, apart):
    """Add a block's gradients of the masked columns to those of the image.

    Neighbouring taps overlap: one after the other they would wait for each other's stores, so channels go innermost.
    """
    weights, index, places = tables
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    for i in range(count * taps):
        first, place = i // taps * apart + i % taps * strip, places[i]
        # Only whole strips inside the plane: another thread may be working on the next plane.
        whole = place >= 0 and place + strip <= plane
        for c in range(channels if place != EMPTY else 0):
            at, base = first + c * taps * strip, (channel + c) * plane
            if whole:
                add_product(grad_x, base + place, weights, i * strip, columns, at)
            else:
                for v in range(strip):
                    j = index[i * strip + v]
                    if j >= 0:
                        grad_x[base + j] += weights[i * strip + v] * columns[at + v]


@njit(nogil=True, cache=True)
def _mask_sums(x, layout, channel, channels, count, tables, columns, apart, sums):
    """Sum over the channels of the image times the masked columns' gradient; values of outside taps mean nothing."""
    _, index, places = tables
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    clear_run(sums, 0, count * taps * strip)
    for s in range(count):
        for c in range(channels):
            base = (channel + c) * plane
            for i in range(s * taps, (s + 1) * taps):
                at, source = s * apart + (c * taps + i - s * taps) * strip, base + places[i]
                if places[i] == EMPTY:
                    continue
                if places[i] != SCATTERED and source >= 0 and source + strip <= x.size:
                    add_product(sums, i * strip, columns, at, x, source)
                else:
                    for v in range(strip):
                        j = index[i * strip + v]
                        if j >= 0:
                            sums[i * strip + v] += columns[at + v] * x[base + j]


@njit(nogil=True, cache=True)
def write_mask(grad_mask, target, layout, q, count, index, sums):
    """Write a block's sums to the mask's gradient, 0 for taps outside the image."""
    strip, taps = layout.strip, layout.kernel_h * layout.kernel_w
    pixels = layout.out_height * layout.out_width
    zero = sums.dtype.type(0)
    for i in range(count * taps):
        first = q + i // taps * strip
        # Unsigned: an index that may be negative would be checked for Python's wrap-around, element by element.
        at, source = np.uint64(target + i % taps * pixels + first), np.uint64(i * strip)
        for v in range(np.uint64(min(strip, pixels - first))):
            grad_mask[at + v] = sums[source + v] if index[source + v] >= 0 else zero


@njit(nogil=True, cache=True)
def _rows(grad_out, row, live, pixels, q, length, lines, pitch):
    """Copy ``length`` positions from q on of ``live`` channels, ``pitch`` apart, the rest of each line 0."""
    for r in range(live):
        copy_run(lines, r * pitch, grad_out, (row + r) * pixels + q, length)
        clear_run(lines, r * pitch + length, pitch - length)


@njit(nogil=True, cache=True)
def copy_lines(grad_out, row, rows, pixels, q, length, strip, lines):
    """Copy ``length`` positions from q on of ``rows`` channels as (strips, rows, strip), 0 beyond the last one."""
    for r in range(rows):
        for first in range(0, length, strip):
            live = min(strip, pixels - q - first)
            at = (first // strip * rows + r) * strip
            copy_run(lines, at, grad_out, (row + r) * pixels + q + first, live)
            clear_run(lines, at + live, strip - live)
