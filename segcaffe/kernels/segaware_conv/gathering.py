"""Gradients of image and masks where each tap is one shift of all positions: see `tiles.gather_products`.

A strip here is one of the image's pixels: each gathers from the output's gradient, shifted, what its taps send. So a
strip's gradients are complete when all taps have been seen, and no two strips write to one place.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.segaware_conv.tiles import copy_rows, fetch_rows, gather_products
from segcaffe.kernels.vector.tile import ROWS, clear_run, copy_run


@njit(nogil=True, cache=True)
def gradients(x, mask, packed, grad_out, grad_x, grad_mask, layout, division, scratch, start, stop):
    """Compute items [start, stop): an item is an image, a group and ``block`` strips of its pixels.

    ``packed`` (taps, groups, tiles of the channels, rows, ROWS). ``grad_x`` is empty where it is not wanted;
    ``grad_mask`` (groups, images, taps, pixels), which holds 0, or empty.
    """
    block = division.block
    images, lines, sums, tables = scratch
    taps, strip, rows = layout.kernel_h * layout.kernel_w, layout.strip, layout.rows
    plane, pixels = layout.height * layout.width, layout.out_height * layout.out_width
    tiles, run = (layout.channels + ROWS - 1) // ROWS, block * strip
    pitch, behind = line_pitch(layout, block), tiles * ROWS * run
    blocks = (plane + run - 1) // run
    for item in range(start, stop):
        place, p = item // blocks, item % blocks * run
        image, group, live = place // layout.groups, place % layout.groups, min(run, plane - p)
        here, base = (live + strip - 1) // strip, place * layout.channels * plane + p
        gather_masks(layout, mask, image * taps * pixels, p, here, tables.weights)
        clear_run(sums, 0, here * taps * strip)
        clear_run(images, 0, behind)
        _copy(x, base, (plane, layout.channels, 0, live, run), images, behind, run)
        clear_run(images, behind + layout.channels * run, behind - layout.channels * run)
        for i in range(layout.kernel_h):
            if i == layout.kernel_h - 1 and grad_x.size > 0:
                # Stores would wait for the places of the image's gradient.
                fetch_rows(grad_x, base, plane, layout.channels, live)
            _lines(grad_out, place * rows * pixels, layout, p, i, run, lines, pitch)
            for tile in range(tiles):
                for s in range(here):
                    for j in range(layout.kernel_w):
                        t, at = i * layout.kernel_w + j, tile * ROWS * run + s * strip
                        weights = ((t * layout.groups + group) * tiles + tile) * rows * ROWS
                        line = s * strip + (layout.kernel_w - 1 - j) * layout.dilation_w
                        shared = tables.weights, sums, (s * taps + t) * strip
                        gather_products(lines, line, pitch, packed, weights, rows, images, (at, run, behind), shared)
        if grad_x.size > 0:
            for c in range(layout.channels):
                copy_run(grad_x, base + c * plane, images, c * run, live)
        if grad_mask.size > 0:
            target = (group * layout.images + image) * taps * pixels
            scatter_masks(layout, grad_mask, target, p, here, sums)


@njit(inline="always")
def line_pitch(layout, block):
    """What a row of the window reaches of a line of the output's gradient from some strips, in whole vectors."""
    reach = block * layout.strip + (layout.kernel_w - 1) * layout.dilation_w
    return (reach + layout.vector - 1) // layout.vector * layout.vector


@njit(nogil=True, cache=True)
def _lines(grad_out, source, layout, p, i, run, lines, pitch):
    """Copy what row ``i`` of the window reaches from ``run`` pixels at ``p``, of all rows of the output, 0 outside.

    What the next pixels need is fetched.
    """
    shift = (i * layout.dilation_h - layout.pad_h) * layout.width - layout.pad_w
    begin = p - shift - (layout.kernel_w - 1) * layout.dilation_w
    pixels = layout.out_height * layout.out_width
    low, high = min(pitch, max(0, -begin)), max(0, min(pitch, pixels - begin))
    # What the first row of the window reaches, the others reach later.
    fetch = run if i == 0 else 0
    _copy(grad_out, source + begin, (pixels, layout.rows, low, high, pitch), lines, 0, fetch)


@njit(nogil=True, cache=True)
def _copy(source, at, sizes, target, to, ahead):
    """Copy elements [low, high) of each of ``count`` rows, ``step`` apart, as lines of ``pitch``, the rest 0.

    Unless ``ahead`` is 0, what lies so much behind them is fetched.
    """
    step, count, low, high, pitch = sizes
    if low == 0 and high == pitch:
        copy_rows(source, at, step, count, target, to, pitch, ahead)
        return
    for r in range(count):
        line = to + r * pitch
        clear_run(target, line, pitch)
        if low < high:
            copy_run(target, line + low, source, at + r * step + low, high - low)


@njit(nogil=True, cache=True)
def gather_masks(layout, mask, source, p, count, weights):
    """Write, as (strips, taps, strip), the masks by which pixels from ``p`` on were weighted, 0 where there is none."""
    clear_run(weights, 0, count * layout.kernel_h * layout.kernel_w * layout.strip)
    taps, pixels = layout.kernel_h * layout.kernel_w, layout.out_height * layout.out_width
    for s in range(count):
        for t in range(taps):
            q, v = _first(layout, t, p + s * layout.strip)
            while v < layout.strip:
                begin, end, v = _run(layout, t, q, v)
                if begin < end:
                    copy_run(
                        weights,
                        (s * taps + t) * layout.strip + begin,
                        mask,
                        source + t * pixels + q + begin,
                        end - begin,
                    )


@njit(nogil=True, cache=True)
def scatter_masks(layout, grad_mask, target, p, count, sums):
    """The reverse: write the masks' gradients to their places."""
    taps, pixels = layout.kernel_h * layout.kernel_w, layout.out_height * layout.out_width
    for s in range(count):
        for t in range(taps):
            q, v = _first(layout, t, p + s * layout.strip)
            while v < layout.strip:
                begin, end, v = _run(layout, t, q, v)
                if begin < end:
                    copy_run(
                        grad_mask,
                        target + t * pixels + q + begin,
                        sums,
                        (s * taps + t) * layout.strip + begin,
                        end - begin,
                    )


@njit(inline="always")
def _first(layout, t, p):
    """Whose tap ``t`` pixel ``p`` is, which may be before the output; and the strip's first pixel that is not."""
    y = t // layout.kernel_w * layout.dilation_h - layout.pad_h
    q = p - y * layout.width - t % layout.kernel_w * layout.dilation_w + layout.pad_w
    return q, max(0, -q)


@njit(inline="always")
def _run(layout, t, q, v):
    """Pixels [begin, end) of the strip from ``v`` on whose windows are in one row; where to go on, strip if nowhere."""
    y, x = (q + v) // layout.width, (q + v) % layout.width
    end = min(layout.strip, v + layout.width - x)
    if y >= layout.out_height:
        return v, v, layout.strip
    if not 0 <= y + t // layout.kernel_w * layout.dilation_h - layout.pad_h < layout.height:
        return v, v, end
    shift = t % layout.kernel_w * layout.dilation_w - layout.pad_w
    return v + max(0, -x - shift), min(end, v + layout.width - x - shift), end
