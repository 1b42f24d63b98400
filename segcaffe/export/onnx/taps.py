"""Windows as shifted slices: what each tap of a window sees, for all positions at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.window import Window

Array = np.ndarray[Any, Any]
Place = tuple[int, ...]


class Taps:
    """The taps of a window over an image: each a slice of the padded image, as large as the output.

    Parameters
    ----------
    emit:
        Writes the nodes.
    image:
        The image; its last axes are the spatial ones.
    lead:
        How many axes it has before those.
    window, size:
        The window, and the image's extent along each spatial axis.
    """

    def __init__(self, emit: Emitter, image: str, lead: int, window: Window, size: Sequence[int]) -> None:
        self._emit, self._window = emit, window
        self.out = window.output_shape(size)
        self._axes = range(lead, lead + window.num_axes)
        pads = [(0, 0)] * lead
        for axis, (out, pad) in enumerate(zip(self.out, window.pad, strict=True)):
            last = (out - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
            pads.append((pad, max(0, last + 1 - pad - size[axis])))
        self._image = emit.pad(image, pads)

    @property
    def places(self) -> list[Place]:
        """The places of all taps in the window, row by row."""
        return list(np.ndindex(*self._window.kernel))

    @property
    def center(self) -> Place:
        """The place of the middle tap, rounded down where there are two."""
        return tuple(k // 2 for k in self._window.kernel)

    def __getitem__(self, place: Place) -> str:
        """What the tap at a place sees."""
        starts = [i * d for i, d in zip(place, self._window.dilation, strict=True)]
        spans = [(out - 1) * s + 1 for out, s in zip(self.out, self._window.stride, strict=True)]
        ends = [start + span for start, span in zip(starts, spans, strict=True)]
        return self._emit.slice(self._image, starts, ends, self._axes, self._window.stride)

    def __iter__(self) -> Iterator[str]:
        """What each tap sees."""
        return (self[place] for place in self.places)


def columns(emit: Emitter, image: str, channels: int, window: Window, size: Sequence[int]) -> str:
    """The windows of an image (N, C, spatial) written out: (N, C, taps, spatial')."""
    apart = emit.reshape(image, [-1, channels, 1, *size])
    return emit.concat(list(Taps(emit, apart, 3, window, size)), axis=2)


def centers_inside(window: Window, size: Sequence[int], axis: int) -> Array:
    """Which positions along an axis have their window's centre in the image."""
    return (_centers(window, size, axis) >= 0) & (_centers(window, size, axis) < size[axis])


def taps_inside(window: Window, size: Sequence[int], axis: int) -> Array:
    """Of each tap along an axis, at which positions it and its centre are in the image: (kernel, positions)."""
    kernel, dilation = window.kernel[axis], window.dilation[axis]
    seen = _centers(window, size, axis) + (np.arange(kernel)[:, None] - kernel // 2) * dilation
    return np.asarray((seen >= 0) & (seen < size[axis]) & centers_inside(window, size, axis))


def _centers(window: Window, size: Sequence[int], axis: int) -> Array:
    """Where the centres lie."""
    first = window.kernel[axis] // 2 * window.dilation[axis] - window.pad[axis]
    return np.asarray(np.arange(window.output_shape(size)[axis]) * window.stride[axis] + first)
