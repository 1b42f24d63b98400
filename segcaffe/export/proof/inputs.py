"""Inputs to compare on: random ones, edges, and other sizes where the file leaves them open."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from segcaffe.export.proof.compare import Array
from segcaffe.export.proof.described import symbol, times
from segcaffe.graph.graph import Graph
from segcaffe.net.net import Net

Shape = tuple[int, ...]
Dimensions = Mapping[str, Sequence[int | str]]
"""Of each input of a file its axes: a number, or the name of a size that is left open, or a multiple: ``2*batch``."""
_LARGE = 1e3
_KINDS: dict[str, Callable[[np.random.Generator, Shape], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "pixels": lambda rng, shape: rng.integers(256, size=shape),
    "zeros": lambda rng, shape: np.zeros(shape),
    "ones": lambda rng, shape: np.ones(shape),
    "large": lambda rng, shape: rng.standard_normal(shape) * _LARGE,
}
"""Values of inputs that take any number."""


@dataclass(frozen=True)
class Trial:
    """One input of the net.

    Attributes
    ----------
    name:
        What reports call it.
    kind:
        Its values, one of `KINDS`.
    shapes:
        The inputs' shapes.
    """

    name: str
    kind: str
    shapes: Mapping[str, Shape]

    @property
    def seed(self) -> int:
        """What its random numbers are drawn with."""
        return zlib.crc32(self.name.encode())


def trials(dimensions: Dimensions, shapes: Mapping[str, Shape]) -> list[Trial]:
    """What to run: each kind in the shapes at hand, and two of other sizes where some are left open.

    Parameters
    ----------
    dimensions:
        The axes that the file gives its inputs.
    shapes:
        The inputs' shapes in the net.
    """
    found = [Trial(kind, kind, shapes) for kind in _KINDS]
    for sizes in _changes(dimensions, shapes):
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        resized = {
            name: tuple(
                extent if isinstance(axis, int) else times(axis) * sizes[symbol(axis)]
                for axis, extent in zip(dimensions.get(name, shape), shape, strict=True)
            )
            for name, shape in shapes.items()
        }
        found.append(Trial(told, "normal", resized))
    return found


def _changes(dimensions: Dimensions, shapes: Mapping[str, Shape]) -> list[dict[str, int]]:
    """Two choices of the open sizes: the first one larger, the next one smaller, and so on; then the other way round.

    No size falls below 1: it grows by two instead.
    """
    now = {
        symbol(axis): extent // times(axis)
        for name, axes in dimensions.items()
        for axis, extent in zip(axes, shapes.get(name, ()), strict=False)
        if isinstance(axis, str)
    }
    ways = (cycle((1, -1)), cycle((-1, 1))) if now else ()
    return [
        {name: size + (step if size + step > 0 else 2) for (name, size), step in zip(now.items(), way, strict=False)}
        for way in ways
    ]


@dataclass(frozen=True)
class Stated:
    """How the net's file says that images are prepared: (pixel - mean) * scale; no mean, or one for each channel."""

    mean: tuple[float, ...] = ()
    scale: float = 1.0

    def prepare(self, pixels: Array) -> Array:
        """Prepare images (N, C, ...); what has no channels of that number is left as it is."""
        if pixels.ndim < 2 or len(self.mean) not in (0, 1, pixels.shape[1]):
            return pixels
        mean = np.array(self.mean or (0.0,)).reshape(1, -1, *(1,) * (pixels.ndim - 2))
        return np.asarray((pixels - mean) * self.scale)


def values(trial: Trial, net: Net, stated: Stated | None = None) -> dict[str, Array]:
    """The values of a trial, float32, for a net of its sizes; of items and regions such as their layer takes.

    Pixels are prepared as the net's file states, if it does and the exported file leaves that to others.
    """
    rng = np.random.default_rng(trial.seed)
    found = {}
    for name, shape in trial.shapes.items():
        special = _special(net, name, rng)
        array = _KINDS[trial.kind](rng, shape) if special is None else special
        if stated is not None and special is None and trial.kind == "pixels":
            array = stated.prepare(array)
        found[name] = np.asarray(array, np.float32).reshape(shape)
    return found


def _special(net: Net, name: str, rng: np.random.Generator) -> Array | None:
    """What the first layer that reads an input by its meaning takes for an example."""
    for index, number in _readers(net.graph, net.graph.blob_names.index(name)):
        example = net.layer_list[index].example(number, net.bottom_blobs[index], rng)
        if example is not None:
            return np.asarray(example)
    return None


def _readers(graph: Graph, blob: int) -> list[tuple[int, int]]:
    """The layers that read a blob, through splits, and as which bottom."""
    found = []
    for index in graph.readers().get(blob, ()):
        node = graph.nodes[index]
        if node.param.type == "Split":
            found += [place for top in node.tops for place in _readers(graph, top)]
        else:
            found.append((index, node.bottoms.index(blob)))
    return found
