"""Forward: masked columns of a few channels at a time, made and multiplied in the first-level cache.

Sums of all output channels of some strips wait beside them; the weights of a tile are used for all of these strips.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.segaware_conv.loops import EMPTY, SCATTERED, locate
from segcaffe.kernels.segaware_conv.tiles import (
    add_columns_1,
    add_columns_2,
    add_columns_4,
    add_columns_8,
    fetch_rows,
    mask_columns,
    write_rows,
)
from segcaffe.kernels.vector.tile import ROWS, clear_run


@njit(nogil=True, cache=True)
def convolve(x, mask, packed, ending, out, layout, division, scratch, start, stop):
    """Compute items [start, stop): an item is an image, a group, and ``block`` strips.

    ``packed`` (chunks of ``step`` channels, groups, tiles, columns of a chunk, ROWS); ``ending`` (2, groups, tiles,
    ROWS), biases, and what values that are not above 0 are multiplied by.
    """
    step, block = division.step, division.block
    columns, sums, _, tables = scratch
    taps, tiles, strip = layout.kernel_h * layout.kernel_w, (layout.rows + ROWS - 1) // ROWS, layout.strip
    pixels = layout.out_height * layout.out_width
    strips = (pixels + strip - 1) // strip
    blocks = (strips + block - 1) // block
    for item in range(start, stop):
        place, first = item // blocks, item % blocks * block
        image, group = place // layout.groups, place % layout.groups
        count = min(block, strips - first)
        locate(layout, mask, image, first * strip, count, tables)
        clear_run(sums, 0, tiles * count * ROWS * strip)
        to = place * layout.rows * pixels + first * strip
        for c in range(0, layout.channels, step):
            channels = min(step, layout.channels - c)
            last = c + step >= layout.channels
            if last:
                fetch_rows(out, to, pixels, layout.rows, min(count * strip, pixels - first * strip))
            for s in range(count):
                _columns(x, layout, place * layout.channels + c, channels, s, block, tables, columns)
            here = channels * taps
            for tile in range(tiles):
                live, row = min(ROWS, layout.rows - tile * ROWS), (group * tiles + tile) * ROWS
                weight = layout.groups * tiles * c * taps * ROWS + row * here
                for s in range(count):
                    at = (tile * count + s) * ROWS * strip
                    _add(live, columns, s * here * strip, packed, weight, here, sums, at)
                    if last:
                        length, target = min(strip, pixels - (first + s) * strip), to + tile * ROWS * pixels + s * strip
                        _write(sums, at, ending, row, out, target, pixels, (live, length, strip))


@njit(nogil=True, cache=True)
def _columns(x, layout, channel, channels, s, ahead, tables, columns):
    """Write the masked columns of strip ``s`` as (channels, taps, strip), while strip ``s + ahead`` is fetched."""
    weights, index, places = tables
    strip, taps, plane = layout.strip, layout.kernel_h * layout.kernel_w, layout.height * layout.width
    base, begin = channel * plane, s * channels * taps * strip
    for t in range(taps):
        i, at = s * taps + t, begin + t * strip
        source = base + places[i]
        if places[i] == EMPTY:
            for c in range(channels):
                clear_run(columns, at + c * taps * strip, strip)
        elif places[i] != SCATTERED and source >= 0 and source + (channels - 1) * plane + strip <= x.size:
            sizes = channels, plane, taps * strip
            # What the other taps need of a strip, its last one needs after them.
            fetch = ahead * strip if t == taps - 1 else 0
            mask_columns(x, source, weights, i * strip, columns, at, sizes, fetch)
        else:
            for c in range(channels):
                for v in range(strip):
                    j, to = index[i * strip + v], at + c * taps * strip + v
                    columns[to] = weights[i * strip + v] * x[base + c * plane + j] if j >= 0 else 0


@njit(inline="always")
def _add(live, columns, at, packed, weight, count, sums, to):
    """Add the products of a strip's columns to the sums of ``live`` rows."""
    if live > 4:
        add_columns_8(columns, at, packed, weight, count, sums, to)
    elif live > 2:
        add_columns_4(columns, at, packed, weight, count, sums, to)
    elif live > 1:
        add_columns_2(columns, at, packed, weight, count, sums, to)
    else:
        add_columns_1(columns, at, packed, weight, count, sums, to)


@njit(inline="always")
def _write(sums, source, ending, row, out, at, pixels, sizes):
    """Write sums and biases, rectified, of ``live`` rows and ``length`` positions of a strip.

    The bias comes last: one that is large must not cost the sum its digits.
    """
    live, length, strip = sizes
    slopes = ending.size // 2
    if live == ROWS and length == strip:
        write_rows(sums, source, ending, row, slopes, out, at, pixels)
    else:
        for r in range(live):
            bias, slope = ending[row + r], ending[slopes + row + r]
            for v in range(length):
                value = sums[source + r * strip + v] + bias
                low = slope * value if slope != 0 else slope
                out[at + r * pixels + v] = low if value <= 0 else value
