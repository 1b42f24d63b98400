"""The weights' gradient where each tap is one shift of all positions: by panels of columns, see `tiles`.

Image and output's gradient are turned, so that channels lie side by side; a shift is then a number of rows. Each
panel of masked columns is made in the first-level cache and multiplied by all rows of the output's gradient; sums stay
in registers for a piece of the positions, and need no adding up of lanes.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.segaware_conv.loops import locate
from segcaffe.kernels.segaware_conv.tiles import add_products, fetch_rows, mask_group
from segcaffe.kernels.vector.tile import ROWS, clear_run, pack_block

_AHEAD = 16
"""How many vectors ahead of those that are turned are fetched."""


@njit(nogil=True, cache=True)
def weight_gradient(x, mask, grad_out, sums, layout, division, scratch, start, stop):
    """Compute items [start, stop) of the weights' gradient: a part of the blocks, a group, ``step`` channels.

    A block is ``block`` strips of an image; ``together`` strips of it are multiplied at a time. ``sums`` (parts,
    groups, pieces of channels, tiles, panels, ROWS, strip) with the groups of a panel in the order of taps, channels.
    """
    step, block, together, _, parts = division
    turned, lines, panel, tables = scratch
    strip, taps = layout.strip, layout.kernel_h * layout.kernel_w
    pixels, tiles = layout.out_height * layout.out_width, (layout.rows + ROWS - 1) // ROWS
    strips = (pixels + strip - 1) // strip
    blocks, pieces = (strips + block - 1) // block, (layout.channels + step - 1) // step
    low = -layout.pad_h * layout.width - layout.pad_w
    reach = (layout.kernel_h - 1) * layout.dilation_h * layout.width + (layout.kernel_w - 1) * layout.dilation_w
    size = _panels(step, taps, strip) * tiles * ROWS * strip
    for item in range(start, stop):
        piece, group, part = item % pieces, item // pieces % layout.groups, item // (pieces * layout.groups)
        count = min(step, layout.channels - piece * step)
        for place in range(layout.images * blocks * part // parts, layout.images * blocks * (part + 1) // parts):
            image, first = place // blocks, place % blocks * block
            here, q = min(block, strips - first), first * strip
            channel = (image * layout.groups + group) * layout.channels + piece * step
            locate(layout, mask, image, q, here, tables)
            plane, length = layout.height * layout.width, here * strip + reach
            turn(x, channel, count, plane, q + low, length, turned, layout.vector)
            turn(
                grad_out,
                (image * layout.groups + group) * layout.rows,
                layout.rows,
                pixels,
                q,
                here * strip,
                lines,
                layout.vector,
            )
            shapes = count, length, here, together, tiles
            _multiply(layout, shapes, turned, lines, panel, tables, sums, item * size)


@njit(inline="always")
def _panels(channels, taps, strip):
    """Panels that hold all groups of some channels."""
    return (-(-channels // ROWS) * taps * ROWS + strip - 1) // strip


@njit(nogil=True, cache=True)
def _multiply(layout, shapes, turned, lines, panel, tables, sums, target):
    """Add a block's products to the sums from ``target`` on."""
    count, length, here, together, tiles = shapes
    strip, taps, wide = layout.strip, layout.kernel_h * layout.kernel_w, layout.strip // ROWS
    bundles = (count + ROWS - 1) // ROWS
    for first in range(0, here, together):
        some = min(together, here - first)
        for k in range(_panels(count, taps, strip)):
            for n in range(wide):
                t, bundle = (k * wide + n) // bundles, (k * wide + n) % bundles
                for s in range(first, first + some):
                    at = (s - first) * strip * strip + n * ROWS
                    if t < taps:
                        i, j = t // layout.kernel_w, t % layout.kernel_w
                        shift = i * layout.dilation_h * layout.width + j * layout.dilation_w
                        source = (bundle * length + s * strip + shift) * ROWS
                        mask_group(panel, at, strip, turned, source, tables.weights, (s * taps + t) * strip, strip)
                    elif first == 0 and s == 0:
                        for p in range(some * strip):
                            clear_run(panel, p * strip + n * ROWS, ROWS)
            for tile in range(tiles):
                row, to = (tile * here + first) * strip * ROWS, target + (k * tiles + tile) * ROWS * strip
                add_products(panel, lines, row, some * strip, sums, to)


@njit(nogil=True, cache=True)
def turn(source, channel, channels, plane, begin, length, out, vector):
    """Write positions [begin, begin + length) of ``channels`` planes as (bundles, length, ROWS), 0 outside."""
    low, high = min(length, max(0, -begin)), max(0, min(length, plane - begin))
    for first in range(0, channels, ROWS):
        at, live = first * length, min(ROWS, channels - first)
        base = (channel + first) * plane + begin
        clear_run(out, at, low * ROWS)
        done = low
        if live == ROWS:
            done = low + max(0, high - low) // vector * vector
            for p in range(low, done, vector):
                fetch_rows(source, base + p + _AHEAD * vector, plane, ROWS, 1)
                pack_block(out, at + p * ROWS, source, base + p, plane)
        for p in range(done, high):
            for r in range(ROWS):
                value = source[base + r * plane + p] if r < live else source.dtype.type(0)
                out[np.uint64(at + p * ROWS + r)] = value
        rest = max(low, high)
        clear_run(out, at + rest * ROWS, (length - rest) * ROWS)


@njit(nogil=True, cache=True)
def add_sums(sums, layout, step, weight_grad, start, stop):
    """Add the sums of output channels [start, stop) of all groups to the weights' gradient."""
    taps, strip, tiles = layout.kernel_h * layout.kernel_w, layout.strip, (layout.rows + ROWS - 1) // ROWS
    pieces = (layout.channels + step - 1) // step
    size = _panels(step, taps, strip) * tiles * ROWS * strip
    for channel in range(start, stop):
        group, tile, r = channel // layout.rows, channel % layout.rows // ROWS, channel % layout.rows % ROWS
        for c in range(layout.channels):
            piece, inside = c // step, c % step
            bundles = (min(step, layout.channels - piece * step) + ROWS - 1) // ROWS
            for t in range(taps):
                lane = (t * bundles + inside // ROWS) * ROWS + inside % ROWS
                place = ((lane // strip * tiles + tile) * ROWS + r) * strip + lane % strip
                target = (channel * layout.channels + c) * taps + t
                weight_grad[target] += sums[(group * pieces + piece) * size + place]
