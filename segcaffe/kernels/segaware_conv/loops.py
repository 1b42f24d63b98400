"""The compiled loops of the CPU's masked convolution; arrays are flat, sizes come in a `layout.Layout`.

Positions (pixels of the output) are taken in strips of consecutive ones. For a strip, `_locate` finds what all
channels share: the mask of each tap, 0 where the tap is outside the image, and where the tap lies in a channel's plane.
"""

from __future__ import annotations

from numba import njit

from segcaffe.kernels.segaware_conv.strips import add_product, product
from segcaffe.kernels.tile import (
    ROWS,
    STREAMS,
    clear_run,
    copy_run,
    correlate_1,
    correlate_2,
    correlate_4,
    correlate_8,
    multiply_1,
    multiply_2,
    multiply_4,
    multiply_8,
)

_EMPTY = -(1 << 62)
"""Instead of a place: no pixel of the strip has this tap inside the image."""
_SCATTERED = _EMPTY + 1
"""Instead of a place: the tap's pixels are not consecutive, see the table of single places."""


@njit(nogil=True, cache=True)
def convolve(x, mask, packed, bias, out, layout, block, columns, spare, weights, index, places, offsets, start, stop):
    """Compute items [start, stop): an item is an image, a group, and ``block`` strips.

    ``packed`` (groups, tiles, depth, ROWS), ``bias`` (groups, tiles, ROWS).
    """
    depth, tiles, strip = offsets.size, (layout.rows + ROWS - 1) // ROWS, layout.strip
    pixels = layout.out_height * layout.out_width
    strips = (pixels + strip - 1) // strip
    blocks = (strips + block - 1) // block
    for item in range(start, stop):
        place, first = item // blocks, item % blocks * block
        image, group = place // layout.groups, place % layout.groups
        count = min(block, strips - first)
        for s in range(count):
            _locate(layout, mask, image, (first + s) * strip, weights, index, places)
            channel = place * layout.channels
            _columns(x, layout, channel, layout.channels, weights, index, places, columns, s * depth * strip, strip)
        for tile in range(tiles):
            live, row = min(ROWS, layout.rows - tile * ROWS), (group * tiles + tile) * ROWS
            for s in range(count):
                q, begin = (first + s) * strip, s * depth * strip
                target = (place * layout.rows + tile * ROWS) * pixels + q
                length = min(strip, pixels - q)
                if live == ROWS and length == strip:
                    _multiply(live, columns, begin, offsets, packed, row * depth, depth, bias, row, out, target, pixels)
                else:
                    _multiply(live, columns, begin, offsets, packed, row * depth, depth, bias, row, spare, 0, strip)
                    for r in range(live):
                        copy_run(out, target + r * pixels, spare, r * strip, length)


@njit(nogil=True, cache=True)
def gradients(
    x, mask, packed, grad_out, grad_x, grad_mask, layout, step, pieces, lines, columns, zeros, sums, weights, index,
    places, offsets, start, stop,
):  # fmt: skip
    """Compute items [start, stop) of the gradients of x and mask: an image, a group, ``step`` channels, a piece of
    the strips (one of ``pieces``, which must be 1 where ``grad_x`` is wanted).

    ``packed`` (groups, tiles of the depth, rows, ROWS); ``grad_x`` is empty where it is not wanted; ``grad_mask``
    (groups * parts of the channels, images, taps, pixels) or empty.
    """
    taps, strip = layout.kernel_h * layout.kernel_w, layout.strip
    pixels, plane = layout.out_height * layout.out_width, layout.height * layout.width
    strips = (pixels + strip - 1) // strip
    parts = (layout.channels + step - 1) // step
    tiles = (layout.channels * taps + ROWS - 1) // ROWS
    for item in range(start, stop):
        piece, part = item % pieces, item // pieces % parts
        place = item // (pieces * parts)
        image, group = place // layout.groups, place % layout.groups
        count = min(step, layout.channels - part * step)
        channel = place * layout.channels + part * step
        first_tile = group * tiles + part * step * taps // ROWS
        if grad_x.size > 0:
            clear_run(grad_x, channel * plane, count * plane)
        for s in range(strips * piece // pieces, strips * (piece + 1) // pieces):
            q = s * strip
            _locate(layout, mask, image, q, weights, index, places)
            _lines(grad_out, place * layout.rows, layout.rows, pixels, q, min(strip, pixels - q), lines, strip)
            for tile in range((count * taps + ROWS - 1) // ROWS):
                begin = (first_tile + tile) * ROWS * layout.rows
                _multiply(
                    ROWS, lines, 0, offsets, packed, begin, layout.rows, zeros, 0, columns, tile * ROWS * strip, strip
                )
            if grad_x.size > 0:
                _scatter(grad_x, layout, channel, count, weights, index, places, columns)
            if grad_mask.size > 0:
                _mask_sums(x, layout, channel, count, index, places, columns, sums)
                target = ((group * parts + part) * layout.images + image) * taps * pixels + q
                for t in range(taps):
                    for v in range(min(strip, pixels - q)):
                        inside = index[t * strip + v] >= 0
                        grad_mask[target + t * pixels + v] = sums[t * strip + v] if inside else 0


@njit(nogil=True, cache=True)
def weight_gradient(
    x, mask, grad_out, sums, layout, step, block, parts, lines, columns, weights, index, places, offsets, start, stop
):
    """Compute items [start, stop) of the weights' gradient: a part of the blocks, a group, ``step`` channels.

    A block is ``block`` strips of an image. ``sums`` (parts, groups * tiles, depth filled up to STREAMS, ROWS).
    """
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
            for s in range(here):
                _locate(layout, mask, image, q + s * strip, weights, index, places)
                _columns(x, layout, channel, count, weights, index, places, columns, s * strip, pitch)
            for tile in range(tiles):
                live = min(ROWS, layout.rows - tile * ROWS)
                row = (image * layout.groups + group) * layout.rows + tile * ROWS
                _lines(grad_out, row, live, pixels, q, min(here * strip, pixels - q), lines, pitch)
                target = (((part * layout.groups + group) * tiles + tile) * depth + piece * step * taps) * ROWS
                for k in range(0, streams, STREAMS):
                    _correlate(live, lines, pitch, columns, offsets, k, here * strip, sums, target + k * ROWS)


@njit(nogil=True, cache=True)
def pack(weight, packed, rows, depth, row_stride, between, tiles, start, stop):
    """Write tiles [start, stop) of a matrix (groups, rows, depth) as (tile, depth, ROWS), missing rows as 0."""
    for tile in range(start, stop):
        first = tile % tiles * ROWS
        source = tile // tiles * rows * depth + first * row_stride
        for k in range(depth):
            target = (tile * depth + k) * ROWS
            for r in range(ROWS):
                packed[target + r] = weight[source + r * row_stride + k * between] if first + r < rows else 0


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
def _locate(layout, mask, image, q, weights, index, places):
    """Fill the tables (taps, strip) of mask values and of places in a channel's plane (-1 outside) for a strip from q.

    ``places`` has for each tap the place of the strip's first position if those of all the others follow it.
    """
    strip, taps = layout.strip, layout.kernel_h * layout.kernel_w
    pixels = layout.out_height * layout.out_width
    weights[:] = 0
    index[:] = -1
    places[:] = _EMPTY
    v, stop = 0, min(strip, pixels - q)
    while v < stop:
        oy, ox = (q + v) // layout.out_width, (q + v) % layout.out_width
        length = min(layout.out_width - ox, stop - v)
        for t in range(taps):
            y = oy * layout.stride_h - layout.pad_h + t // layout.kernel_w * layout.dilation_h
            x = ox * layout.stride_w - layout.pad_w + t % layout.kernel_w * layout.dilation_w
            begin, end = _inside(layout.width, layout.stride_w, x, length)
            if 0 <= y < layout.height and begin < end:
                place = y * layout.width + x
                known = places[t]
                follows = layout.stride_w == 1 and (known == _EMPTY or known == place - v)
                places[t] = place - v if follows else _SCATTERED
                at, source = t * strip + v, (image * taps + t) * pixels + q + v
                for u in range(begin, end):
                    weights[at + u] = mask[source + u]
                    index[at + u] = place + u * layout.stride_w
        v += length


@njit(inline="always")
def _inside(size, stride, first, length):
    """The range of i < length for which ``first + i * stride`` lies in [0, size)."""
    begin = min(length, max(0, -(first // stride)))
    return begin, min(length, max(begin, (size - 1 - first) // stride + 1))


@njit(nogil=True, cache=True)
def _columns(x, layout, channel, count, weights, index, places, columns, start, pitch):
    """Write the masked columns of ``count`` channels for one strip, ``pitch`` apart."""
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    for c in range(count):
        base = (channel + c) * plane
        for t in range(taps):
            at, source = start + (c * taps + t) * pitch, base + places[t]
            if places[t] == _EMPTY:
                clear_run(columns, at, strip)
            elif places[t] != _SCATTERED and source >= 0 and source + strip <= x.size:
                product(columns, at, weights, t * strip, x, source)
            else:
                for v in range(strip):
                    i = index[t * strip + v]
                    columns[at + v] = weights[t * strip + v] * x[base + i] if i >= 0 else 0


@njit(nogil=True, cache=True)
def _scatter(grad_x, layout, channel, count, weights, index, places, columns):
    """Add a strip's gradients of the masked columns to those of the image."""
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    for c in range(count):
        base = (channel + c) * plane
        for t in range(taps):
            at, place = (c * taps + t) * strip, places[t]
            if place == _EMPTY:
                continue
            # Only whole strips inside the plane: another thread may be working on the next plane.
            if place != _SCATTERED and place >= 0 and place + strip <= plane:
                add_product(grad_x, base + place, weights, t * strip, columns, at)
            else:
                for v in range(strip):
                    i = index[t * strip + v]
                    if i >= 0:
                        grad_x[base + i] += weights[t * strip + v] * columns[at + v]


@njit(nogil=True, cache=True)
def _mask_sums(x, layout, channel, count, index, places, columns, sums):
    """Sum over the channels of the image times the masked columns' gradient; values of outside taps mean nothing."""
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    sums[:] = 0
    for c in range(count):
        base = (channel + c) * plane
        for t in range(taps):
            at, source = (c * taps + t) * strip, base + places[t]
            if places[t] == _EMPTY:
                continue
            if places[t] != _SCATTERED and source >= 0 and source + strip <= x.size:
                add_product(sums, t * strip, columns, at, x, source)
            else:
                for v in range(strip):
                    i = index[t * strip + v]
                    if i >= 0:
                        sums[t * strip + v] += columns[at + v] * x[base + i]


@njit(nogil=True, cache=True)
def _lines(grad_out, row, live, pixels, q, length, lines, pitch):
    """Copy ``length`` positions from q on of ``live`` channels, ``pitch`` apart, the rest of each line 0."""
    for r in range(live):
        copy_run(lines, r * pitch, grad_out, (row + r) * pixels + q, length)
        clear_run(lines, r * pitch + length, pitch - length)


@njit(inline="always")
def _multiply(live, x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride):
    if live > 4:
        multiply_8(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    elif live > 2:
        multiply_4(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    elif live > 1:
        multiply_2(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    else:
        multiply_1(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)


@njit(inline="always")
def _correlate(live, lines, pitch, columns, offsets, k, length, sums, target):
    if live > 4:
        correlate_8(lines, pitch, columns, 0, offsets, k, length, sums, target)
    elif live > 2:
        correlate_4(lines, pitch, columns, 0, offsets, k, length, sums, target)
    elif live > 1:
        correlate_2(lines, pitch, columns, 0, offsets, k, length, sums, target)
    else:
        correlate_1(lines, pitch, columns, 0, offsets, k, length, sums, target)
