"""Gradients of image and masks together, whole tiles of channels: from the registers to both, see `tiles`."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.segaware_conv.loops import EMPTY, copy_lines, locate, write_mask
from segcaffe.kernels.segaware_conv.tiles import spread_products
from segcaffe.kernels.vector import rows
from segcaffe.kernels.vector.tile import ROWS, clear_run


@njit(nogil=True, cache=True)
def gradients(x, mask, packed, grad_out, grad_x, grad_mask, layout, division, scratch, offsets, start, stop):
    """Compute items [start, stop): an item is an image, a group and ``together`` parts of ``step`` channels.

    ``packed`` (taps, groups, tiles of the channels, rows, ROWS); ``grad_mask`` (groups * parts, images, taps, pixels).
    """
    step, block, together, _, _ = division
    tile, lines, sums, tables = scratch
    taps, strip = layout.kernel_h * layout.kernel_w, layout.strip
    pixels, plane = layout.out_height * layout.out_width, layout.height * layout.width
    strips = (pixels + strip - 1) // strip
    parts = (layout.channels + step - 1) // step
    several = (parts + together - 1) // together
    for item in range(start, stop):
        place, low = item // several, item % several * together
        high, image, group = min(parts, low + together), place // layout.groups, place % layout.groups
        count = min(layout.channels, high * step) - low * step
        clear_run(grad_x, (place * layout.channels + low * step) * plane, count * plane)
        for first in range(0, strips, block):
            here, q = min(block, strips - first), first * strip
            locate(layout, mask, image, q, here, tables)
            copy_lines(grad_out, place * layout.rows, layout.rows, pixels, q, here * strip, strip, lines)
            for part in range(low, high):
                clear_run(sums, 0, here * taps * strip)
                for channel in range(part * step, min(layout.channels, (part + 1) * step), ROWS):
                    arrays = packed, grad_x, x, lines, sums, tile
                    _spread(arrays, layout, (group, place, channel, here), tables, offsets)
                target = (group * parts + part) * layout.images + image
                write_mask(grad_mask, target * taps * pixels, layout, q, here, tables.index, sums)


@njit(nogil=True, cache=True)
def _spread(arrays, layout, place, tables, offsets):
    """A block's gradients for one tile of channels."""
    packed, grad_x, x, lines, sums, tile = arrays
    group, image_group, channel, here = place
    taps, strip, plane = layout.kernel_h * layout.kernel_w, layout.strip, layout.height * layout.width
    tiles, base = layout.channels // ROWS, (image_group * layout.channels + channel) * plane
    for i in range(here * taps):
        begin = ((i % taps * layout.groups + group) * tiles + channel // ROWS) * layout.rows * ROWS
        first, at, shift = i // taps * strip * layout.rows, i * strip, tables.places[i]
        if shift == EMPTY:
            continue
        # Only whole strips inside the plane: another thread may be working on the next plane.
        if shift >= 0 and shift + strip <= plane:
            images, both = (grad_x, x), (tables.weights, sums)
            spread_products(lines, first, packed, begin, layout.rows, images, base + shift, plane, both, at)
        else:
            clear_run(tile, ROWS * strip, ROWS)
            rows.multiply(ROWS, lines, first, offsets, packed, begin, layout.rows, tile, ROWS * strip, tile, 0, strip)
            for r in range(ROWS):
                for v in range(strip):
                    j = tables.index[at + v]
                    if j >= 0:
                        grad_x[base + r * plane + j] += tables.weights[at + v] * tile[r * strip + v]
                        sums[at + v] += tile[r * strip + v] * x[base + r * plane + j]
