"""The compiled loop of convolution by panels where the outputs' channels lie in blocks of a vector."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.panels.loops import copy_band, find
from segcaffe.kernels.convolution.panels.tile import (
    block_full_1,
    block_full_2,
    block_full_3,
    block_less_1,
    block_less_2,
    block_less_3,
)
from segcaffe.kernels.vector.tile import ROWS, copy_run


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, tables, memory, start, stop):
    """`loops.convolve` for such outputs.

    ``memory`` is room for a band's copy, for a tile's results, and for what is added to them.
    """
    copy, edge = memory[0], memory[1:]
    held = -1, -1
    for item in range(start, stop):
        panel, band, image, shares = find(item, layout, tables.bands)
        if layout.copied and held != (image, band):
            copy_band(source, image * layout.image, tables.bands[band, 0], layout, copy)
            held = image, band
        x = (copy, 0) if layout.copied else (source, image * layout.image)
        to = target, image * layout.outputs * layout.pixels + tables.bands[band, 1] * layout.vector
        _panel(x, panel, packed, tables, epilogue, to, shares, edge, layout)


@njit(inline="always")
def _panel(x, panel, weights, tables, epilogue, target, shares, edge, layout):
    """One panel of weights with some groups of pixels."""
    offsets, places, _, groups, panels = tables
    (x, x_at), (ending, addend), (target, to), (results, added) = x, epilogue, target, edge
    depth, vector, block = offsets.size, layout.vector, layout.pixels * layout.vector
    first, streams, output = panels[panel, 1], panels[panel, 2], panels[panel, 3]
    given = x, x_at + panels[panel, 0]
    own = weights, first * vector * depth
    # In the meantime the next panel comes from memory, a part of it with each group.
    following, size = (own[1] + streams * vector * depth) % weights.size, streams * vector
    step = (size + shares[1] - shares[0] - 1) // (shares[1] - shares[0])
    for g in range(shares[0], shares[1]):
        fetch = weights, following + (g - shares[0]) * step * depth, step
        pixel, size = groups[g, 0], groups[g, 1]
        at, here = to + output * layout.pixels + pixel * vector, (places, pixel)
        if size >= ROWS - 1:
            out = target, at, block
            _tile(streams, size, given, here, offsets, own, fetch, ending, first, (addend, at), out)
            continue
        # Fewer pixels exist than a tile has.
        apart = ROWS * vector
        for v in range(streams if addend.size > 0 else 0):
            copy_run(added, v * apart, addend, at + v * block, size * vector)
        out = results, 0, apart
        _tile(streams, ROWS, given, here, offsets, own, fetch, ending, first, (added, 0), out)
        for v in range(streams):
            copy_run(target, at + v * block, results, v * apart, size * vector)


@njit(inline="always")
def _tile(streams, size, x, places, offsets, weights, fetch, ending, first, addend, out):
    """So many vectors and pixels."""
    count = offsets.size
    if size == ROWS:
        if streams == 3:
            block_full_3(x, places, offsets, weights, count, fetch, ending, first, addend, out)
        elif streams == 2:
            block_full_2(x, places, offsets, weights, count, fetch, ending, first, addend, out)
        else:
            block_full_1(x, places, offsets, weights, count, fetch, ending, first, addend, out)
    elif streams == 3:
        block_less_3(x, places, offsets, weights, count, fetch, ending, first, addend, out)
    elif streams == 2:
        block_less_2(x, places, offsets, weights, count, fetch, ending, first, addend, out)
    else:
        block_less_1(x, places, offsets, weights, count, fetch, ending, first, addend, out)
