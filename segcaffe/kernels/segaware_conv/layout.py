"""Sizes of a masked convolution, as its compiled loops need them, and how its work is divided."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from segcaffe.kernels.vector.tile import ROWS, STREAMS, strip_length, vector_length
from segcaffe.window import Window

_COLUMN_BYTES = 1 << 20
"""What the columns of a block may occupy of the second-level cache."""
_MOST_POSITIONS = 1024
_MOST_DEPTH = 640
"""Columns of a block at most, where they are cut for the weights' gradient."""
_CHUNK_DEPTH, _CHUNK_STRIPS = 144, 8
"""Columns of a strip that are made at once going forward (of 48 positions, 27 kB), and of how many strips at most."""
_GATHER_STRIPS = 4
_ITEMS = 16
"""Into how many pieces large work is cut at least, so that all threads have some."""
_MOST_SUMS = 1 << 22
_PANEL_CHANNELS = 64
"""Channels of x whose weights' gradient is made together by panels."""
_PANEL_STRIPS = 2
"""Strips of positions whose panel fits the first-level cache."""
_PANEL_PARTS = 8
"""Sums that are made side by side by panels, if nothing else divides the work."""
_TURNED_BYTES = 5 << 17
"""What a block of image and output's gradient, turned, may occupy of the second-level cache."""


class Tables(NamedTuple):
    """What all channels share of a block of strips; see `loops`: masks, places of single pixels, and of strips."""

    weights: Any
    index: Any
    places: Any


class Scratch(NamedTuple):
    """A thread's memory for a block: masked columns, lines of the output or its gradient, sums over channels."""

    columns: Any
    lines: Any
    sums: Any
    tables: Tables


class Division(NamedTuple):
    """How the work is cut: ``step`` channels of x and ``block`` strips of positions make a piece.

    ``together`` such steps are one item, ``pieces`` items share the blocks of an image, and ``parts`` sums are made.
    """

    step: int
    block: int
    together: int = 1
    pieces: int = 1
    parts: int = 1


class Layout(NamedTuple):
    """Sizes: ``channels`` of x and ``rows`` (channels of the output) are those of one group."""

    images: int
    groups: int
    channels: int
    rows: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    strip: int
    vector: int
    itemsize: int

    @property
    def taps(self) -> int:
        """Positions of the window."""
        return self.kernel_h * self.kernel_w

    @property
    def depth(self) -> int:
        """Number of products that make one sum: channels times taps."""
        return self.channels * self.taps

    @property
    def tiles(self) -> int:
        """Tiles of output channels in one group."""
        return -(-self.rows // ROWS)

    @property
    def pixels(self) -> int:
        """Positions of one image's output."""
        return self.out_height * self.out_width

    @property
    def strips(self) -> int:
        """Strips of positions in one image."""
        return -(-self.pixels // self.strip)

    @property
    def cycles(self) -> float:
        """Rough cost of one product of the weights with all columns."""
        return self.images * self.groups * self.pixels * self.depth * (self.rows + 8) * self.itemsize / 128

    @property
    def chunk_channels(self) -> int:
        """Channels of x whose columns are made together going forward: those of a strip fit the first-level cache."""
        return max(1, min(self.channels, _CHUNK_DEPTH // self.taps))

    def chunk_strips(self, threads: int) -> int:
        """Strips for which weights pass by once, going forward, so that each thread has some blocks of them."""
        sums = (self.tiles * ROWS + self.chunk_channels * self.taps) * self.strip * self.itemsize
        share = self.images * self.groups * self.strips // (4 * threads)
        return max(1, min(_COLUMN_BYTES // sums, share, _CHUNK_STRIPS))

    @property
    def follows(self) -> bool:
        """Whether each tap of all positions is one shift of the image."""
        return (self.stride_h, self.stride_w, self.out_width) == (1, 1, self.width)

    @property
    def gathers(self) -> bool:
        """Whether the image's strips gather their gradients; tiles of its channels must be well filled."""
        return self.follows and 4 * parts(self.channels, ROWS) * ROWS <= 5 * self.channels

    def gather_sizes(self, strips: int) -> tuple[int, int]:
        """Elements of so many strips of the image and its gradient, whole tiles, and of what a window's row reaches."""
        line = parts(strips * self.strip + (self.kernel_w - 1) * self.dilation_w, self.vector) * self.vector
        return 2 * parts(self.channels, ROWS) * ROWS * strips * self.strip, self.rows * line

    def gather_strips(self, threads: int) -> int:
        """Strips of the image that gather their gradients together, so that each thread has some blocks of them."""
        room = _COLUMN_BYTES // (sum(self.gather_sizes(1)) * self.itemsize)
        share = self.images * self.groups * self.height * self.width // (self.strip * 4 * threads)
        return max(1, min(room, share, _GATHER_STRIPS))

    @property
    def channel_step(self) -> int:
        """Channels of x whose gradient is one piece of work; their rows fill whole tiles."""
        parts = max(1, _ITEMS // 2 // max(1, self.images * self.groups))
        return -(-max(1, self.channels // parts) // ROWS) * ROWS

    @property
    def gradient_strips(self) -> int:
        """Strips that a piece of work on the gradients of x takes at a time."""
        depth = min(self.channels, self.channel_step) * self.taps + self.rows
        fit = _COLUMN_BYTES // (depth * self.strip * self.itemsize)
        return max(1, min(fit, self.strips, _MOST_POSITIONS // self.strip))

    @property
    def weight_step(self) -> int:
        """Channels of x whose columns are made together for the weights' gradient; they fill whole streams."""
        return max(STREAMS, _MOST_DEPTH // self.taps // STREAMS * STREAMS)

    @property
    def weight_strips(self) -> int:
        """Strips that such a piece takes at a time."""
        depth = min(self.channels, self.weight_step) * self.taps
        return max(1, min(_COLUMN_BYTES // (depth * self.itemsize), _MOST_POSITIONS) // self.strip)

    @property
    def reach(self) -> int:
        """From the first tap of a position to its last, in places of an image as wide as the output."""
        return (self.kernel_h - 1) * self.dilation_h * self.width + (self.kernel_w - 1) * self.dilation_w

    def panel_sums(self, division: Division) -> int:
        """How many sums one part of the weights' gradient makes by panels: those of whole tiles and panels."""
        lanes = parts(parts(division.step, ROWS) * ROWS * self.taps, self.strip) * self.strip
        return self.groups * parts(self.channels, division.step) * self.tiles * ROWS * lanes

    @property
    def panels(self) -> Division | None:
        """How the weights' gradient is cut where it goes by panels; None where columns are better.

        Each tap of all positions must be one shift of the image, tiles well filled, and a block with all that its taps
        reach must fit the second-level cache.
        """
        if not self.follows or self.channels < 2 * ROWS or self.rows <= ROWS // 2:
            return None
        step = min(self.channels, _PANEL_CHANNELS)
        room = _TURNED_BYTES // self.itemsize - self.reach * step
        block = min(room // (self.strip * (step + self.rows)), _PANEL_STRIPS * 10, -(-self.strips // 4))
        if block < _PANEL_STRIPS:
            return None
        block -= block % _PANEL_STRIPS
        others = self.groups * -(-self.channels // step)
        most = _MOST_SUMS // (self.groups * self.tiles * ROWS * self.depth)
        made = max(1, min(self.images * -(-self.strips // block), -(-_PANEL_PARTS // others), most))
        return Division(step, block, _PANEL_STRIPS, parts=made)

    @property
    def weight_parts(self) -> int:
        """Into how many partial sums the weights' gradient is divided."""
        blocks = self.images * -(-self.strips // self.weight_strips)
        others = self.groups * -(-self.channels // self.weight_step)
        most = _MOST_SUMS // (self.groups * self.tiles * ROWS * self.depth)
        return max(1, min(blocks, -(-_ITEMS // others), most))


@functools.lru_cache(maxsize=1024)
def make_layout(x: tuple[int, ...], out: tuple[int, ...], window: Window, group: int, itemsize: int) -> Layout:
    """The layout for arrays of the given shapes (N, C, H, W) and (N, M, H', W')."""
    dtype = f"f{itemsize}"
    sizes = (*x[2:], *out[2:], *window.kernel, *window.stride, *window.pad, *window.dilation)
    lengths = (strip_length(dtype), vector_length(dtype), itemsize)
    return Layout._make((x[0], group, x[1] // group, out[1] // group, *sizes, *lengths))


def parts(count: int, step: int) -> int:
    """How many pieces of at most ``step`` make ``count``."""
    return math.ceil(count / step)
