"""Layout of a directed graph without cycles in layers, top to bottom (Sugiyama's way).

Nodes get ranks by the longest path that leads to them; edges over several ranks get points in between; sweeps of
barycentres order each rank; positions within a rank are the least-squares fit to those of the neighbours that keeps
nodes apart.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SWEEPS = 8
_MOST_POINTS = 30_000
"""Points that edges pass in all; the longest of a net that needs more run straight."""
Point = tuple[float, float]


@dataclass
class Layout:
    """Centres of the nodes, the points each edge passes through, and the extent of it all."""

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


@dataclass
class _Grid:
    """Nodes (real ones first, then points of long edges) by rank, and who is above and below whom."""

    sizes: list[Point]
    ranks: list[int]
    above: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    below: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    chains: list[list[int]] = field(default_factory=list)


def layout(
    sizes: Sequence[Point], edges: Sequence[tuple[int, int]], gaps: Point = (24.0, 36.0), margin: float = 20.0
) -> Layout:
    """Place nodes.

    Parameters
    ----------
    sizes:
        (width, height) of each node.
    edges:
        (from, to), indices of nodes; no cycles.
    gaps:
        Least distance between nodes of a rank, and between ranks.
    """
    grid = _grid(sizes, edges)
    rows = _ordered(grid)
    x = _across(grid, rows, gaps[0])
    y = _down(grid, rows, gaps[1])
    if not sizes:
        return Layout([], [], 2 * margin, 2 * margin)
    left = min(x[i] - grid.sizes[i][0] / 2 for i in range(len(x))) - margin
    top = margin
    points = [(x[i] - left, y[grid.ranks[i]][0] + top) for i in range(len(x))]
    width = max(px + grid.sizes[i][0] / 2 for i, (px, _) in enumerate(points)) + margin
    height = max(py + grid.sizes[i][1] / 2 for i, (_, py) in enumerate(points)) + margin
    routes = [_route(chain, points, [y[grid.ranks[i]][1] for i in chain]) for chain in grid.chains]
    return Layout(points[: len(sizes)], routes, width, height)


def _grid(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> _Grid:
    grid = _Grid(list(sizes), _ranks(len(sizes), edges))
    between = [range(grid.ranks[start] + 1, grid.ranks[end]) for start, end in edges]
    straight = _too_many([len(ranks) for ranks in between])
    for index, (start, end) in enumerate(edges):
        if index in straight:
            grid.chains.append([start, end])
            continue
        chain = [start]
        for rank in between[index]:
            chain.append(len(grid.sizes))
            grid.sizes.append((2.0, 2.0))
            grid.ranks.append(rank)
        chain.append(end)
        for upper, lower in itertools.pairwise(chain):
            grid.below[upper].append(lower)
            grid.above[lower].append(upper)
        grid.chains.append(chain)
    return grid


def _too_many(points: Sequence[int]) -> set[int]:
    """The edges that run straight, for how many points each of them would pass: the longest ones."""
    shortest = sorted(range(len(points)), key=points.__getitem__)
    totals = itertools.accumulate(points[index] for index in shortest)
    return {index for index, total in zip(shortest, totals, strict=True) if total > _MOST_POINTS}


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a source; what has nothing above it moves down to what it feeds."""
    after: dict[int, list[int]] = defaultdict(list)
    missing = [0] * count
    for start, end in edges:
        after[start].append(end)
        missing[end] += 1
    sources = [i for i in range(count) if not missing[i]]
    ranks, ready = [0] * count, list(sources)
    while ready:
        node = ready.pop()
        for other in after[node]:
            ranks[other] = max(ranks[other], ranks[node] + 1)
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    for node in sources:
        ranks[node] = min((ranks[other] - 1 for other in after[node]), default=0)
    return ranks


def _ordered(grid: _Grid) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(grid.ranks, default=-1) + 1)]
    for node, rank in enumerate(grid.ranks):
        rows[rank].append(node)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        place = {node: index for row in rows for index, node in enumerate(row)}
        for row in rows[1:] if down else rows[-2::-1]:
            neighbours = grid.above if down else grid.below
            row.sort(key=lambda node: _mean([place[other] for other in neighbours[node]], place[node]))
            place.update((node, index) for index, node in enumerate(row))
    return rows


def _across(grid: _Grid, rows: list[list[int]], gap: float) -> list[float]:
    """Positions within the ranks, pulled towards the neighbours above, below, and at last both."""
    x = [0.0] * len(grid.sizes)
    for row in rows:
        _fit(grid, row, x, [0.0] * len(row), gap)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            wanted = []
            for node in row:
                near = grid.above[node] if down else grid.below[node]
                if sweep >= SWEEPS - 2:
                    near = grid.above[node] + grid.below[node]
                wanted.append(_mean([x[other] for other in near], x[node]))
            _fit(grid, row, x, wanted, gap)
    return x


def _fit(grid: _Grid, row: list[int], x: list[float], wanted: list[float], gap: float) -> None:
    """Set x of a rank's nodes: as near to what is wanted as their widths allow (isotonic regression)."""
    widths = [grid.sizes[node][0] for node in row]
    starts = np.concatenate([[0.0], np.cumsum([(a + b) / 2 + gap for a, b in itertools.pairwise(widths)])])
    blocks: list[list[float]] = []
    for value in np.array(wanted) - starts[: len(row)]:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    fitted = np.concatenate([np.full(int(n), value) for value, n in blocks])
    for node, value in zip(row, fitted + starts[: len(row)], strict=True):
        x[node] = float(value)


def _down(grid: _Grid, rows: list[list[int]], gap: float) -> list[Point]:
    """Height at which the centres of each rank lie, and how tall the rank is."""
    result: list[Point] = []
    bottom = -gap
    for row in rows:
        tall = max(grid.sizes[node][1] for node in row)
        result.append((bottom + gap + tall / 2, tall))
        bottom += gap + tall
    return result


def _route(chain: list[int], points: list[Point], tall: list[float]) -> list[Point]:
    """Points of an edge: straight down through the ranks it passes, so that it stays clear of their nodes."""
    route = [points[chain[0]]]
    for node, height in list(zip(chain, tall, strict=True))[1:-1]:
        x, y = points[node]
        route += [(x, y - height / 2), (x, y + height / 2)]
    return [*route, points[chain[-1]]]


def _mean(values: list[float] | list[int], default: float) -> float:
    return sum(values) / len(values) if values else default
