"""How the time of an iteration grows with the number of ranks: a model of three numbers, which are measured."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from segcaffe.parallel.group import Group

_SMALL, _LARGE = 1, 4 << 20
"""Elements of the buffers by which latency and bandwidth are measured."""
_ROUNDS = 20
MOST_RANKS = 1024


class Link(NamedTuple):
    """What a reduction costs between the ranks that there are.

    Attributes
    ----------
    latency:
        Seconds of a step from rank to rank.
    bandwidth:
        Bytes a second that a rank sends and receives while a large buffer is averaged.
    """

    latency: float
    bandwidth: float


def measure(ranks: Group) -> Link:
    """Average small and large buffers; every rank calls it, and all get the same."""
    small = min(_seconds(ranks, _SMALL) for _ in range(3))
    large = min(_seconds(ranks, _LARGE) for _ in range(3))
    sent = 2 * (ranks.size - 1) / ranks.size * 4 * _LARGE
    link = Link(small / steps(ranks.size), sent / max(large - small, 1e-9))
    return Link(*ranks.from_first(link))


def _seconds(ranks: Group, elements: int) -> float:
    buffer = np.zeros(elements, np.float32)
    rounds = _ROUNDS if elements == _SMALL else 3
    ranks.average_(buffer)
    start = time.perf_counter()
    for _ in range(rounds):
        ranks.average_(buffer)
    return (time.perf_counter() - start) / rounds


def steps(ranks: int) -> int:
    """Steps from rank to rank, one after the other, of a reduction in a tree and the way back."""
    return max(1, 2 * math.ceil(math.log2(ranks))) if ranks > 1 else 1


def reduction(link: Link, size: int, messages: int, ranks: int) -> float:
    """Seconds to average ``size`` bytes in so many messages: each rank sends and receives 2 (n - 1) / n of the bytes.

    Source: Rabenseifner, Optimization of collective reduction operations, ICCS 2004: no reduction sends less.
    """
    if ranks == 1:
        return 0.0
    return messages * steps(ranks) * link.latency + 2 * (ranks - 1) / ranks * size / link.bandwidth


class Iteration(NamedTuple):
    """What an iteration of one rank is, whatever the number of ranks.

    Attributes
    ----------
    compute:
        Seconds of forward and backward.
    hideable:
        Those of them in which gradients can be averaged meanwhile.
    size, messages:
        Bytes that are averaged, and in how many messages.
    """

    compute: float
    hideable: float
    size: int
    messages: int


class Forecast(NamedTuple):
    """An iteration on so many ranks: its seconds, and the images per second by those of as many processes alone."""

    ranks: int
    seconds: float
    efficiency: float


def forecast(iteration: Iteration, link: Link, ranks: int) -> Forecast:
    """An iteration on so many ranks: what cannot be hidden of the reduction comes on top."""
    averaging = reduction(link, iteration.size, iteration.messages, ranks)
    seconds = iteration.compute + max(0.0, averaging - iteration.hideable)
    return Forecast(ranks, seconds, iteration.compute / seconds)


def table(iteration: Iteration, link: Link) -> list[Forecast]:
    """The forecasts of 1, 2, 4, ... ranks."""
    return [forecast(iteration, link, 1 << power) for power in range(int(math.log2(MOST_RANKS)) + 1)]
