"""A net as the planner sees it: steps and numbered buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Kind = Literal["values", "gradients", "saved"]
Pass = Literal["forward", "recompute", "backward"]
PASSES: tuple[Pass, ...] = ("forward", "recompute", "backward")


@dataclass(frozen=True)
class Buffer:
    """Memory for one thing: the values that some blobs share, their gradients, or what a layer saves for backward."""

    name: str
    kind: Kind
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Step:
    """One layer. Buffers are meant by their numbers: their places in `Program.buffers`.

    Attributes
    ----------
    bottoms, tops:
        Buffers of values that the layer takes and makes, as far as they have memory.
    writes:
        Whether it writes the tops' values, rather than share the bottoms' memory.
    in_place:
        Whether each top is one of the bottoms.
    backward:
        Whether it runs backward.
    reads:
        Buffers of values that its backward pass reads.
    gradients:
        Buffers of gradients that its backward pass reads or writes.
    saved:
        The buffer of what forward saves for backward, or None.
    state:
        Bytes that the layer keeps for good.
    workspace:
        Bytes of kernels' scratch memory by name.
    recomputes:
        Whether the tops' values can be made anew.
    joins:
        Bottoms that could be made inside the first top, each with the byte at which it would begin there.
    hands_on:
        Pairs of gradients, of a bottom and of the first top, which are equal once the step has run backward.
    """

    name: str
    type: str = ""
    bottoms: tuple[int, ...] = ()
    tops: tuple[int, ...] = ()
    writes: bool = True
    in_place: bool = False
    backward: bool = True
    reads: frozenset[int] = frozenset()
    gradients: frozenset[int] = frozenset()
    saved: int | None = None
    state: int = 0
    workspace: Mapping[str, int] = field(default_factory=dict)
    recomputes: bool = True
    joins: tuple[tuple[int, int], ...] = ()
    hands_on: tuple[tuple[int, int], ...] = ()

    @cached_property
    def uses(self) -> dict[Pass, tuple[int, ...]]:
        """The buffers that each pass over the step needs."""
        saved = () if self.saved is None else (self.saved,)
        forward = tuple(dict.fromkeys((*self.bottoms, *self.tops, *saved)))
        backward = (*self.reads, *self.gradients, *saved) if self.backward else ()
        return {"forward": forward, "recompute": forward, "backward": backward}


@dataclass(frozen=True)
class Program:
    """The steps in the order of the forward pass, and what they work on.

    Attributes
    ----------
    kept:
        Buffers that code outside the steps writes or reads: they keep memory of their own.
    learns:
        Whether the steps also run backward.
    parameters:
        Bytes of parameters, and of those gradients of theirs that are computed.
    """

    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    kept: frozenset[int] = frozenset()
    learns: bool = True
    parameters: int = 0

    @cached_property
    def uses(self) -> tuple[Array, Array]:
        """The buffers that the steps use, one pass after the other, and where each step of each pass begins there.

        Step i of pass p of `PASSES` has number ``p * len(steps) + i``; behind the last one is where they end.
        """
        several = [step.uses[kind] for kind in PASSES for step in self.steps]
        starts = np.array([0, *accumulate(map(len, several))], np.intp)
        return np.fromiter(chain.from_iterable(several), np.intp, int(starts[-1])), starts
