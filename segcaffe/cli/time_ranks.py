"""`segcaffe time --mpi`: what several ranks compute, what they average, and how much of that is at the same time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from segcaffe.net.net import Net
    from segcaffe.parallel import Group
    from segcaffe.solver.gradients import Gradients


class Figures(NamedTuple):
    """Seconds of an iteration, means over all ranks.

    Attributes
    ----------
    compute:
        Forward and backward, nothing averaged.
    backward:
        The backward pass of it.
    reduction:
        The gradients averaged, nothing computed.
    together:
        Both, the reduction during the backward pass.
    waiting:
        What of it is spent after the backward pass, waiting for the last means.
    """

    compute: float
    backward: float
    reduction: float
    together: float
    waiting: float

    @property
    def overlap(self) -> float:
        """Which part of the reduction is done before the backward pass is, so that nothing waits for it.

        Where no core is free for it, the backward pass takes longer meanwhile; `efficiency` tells.
        """
        return min(1.0, max(0.0, 1 - self.waiting / self.reduction)) if self.reduction else 0.0

    @property
    def efficiency(self) -> float:
        """Images per second by those of as many processes that average nothing."""
        return min(1.0, self.compute / self.together)


def measure(net: Net, ranks: Group, iterations: int) -> tuple[Figures, int, int]:
    """Time iterations with and without the reduction; returns their figures, its bytes and its messages."""
    from segcaffe.solver.gradients import Gradients

    gradients = Gradients(net, ranks)
    last = len(net.layer_list) - 1

    def run(averaged: Gradients | None, computed: bool) -> tuple[float, float]:
        """Seconds of a backward pass, and of waiting after it."""
        net.clear_param_diffs()
        backward = 0.0
        if computed:
            net.forward_from_to(0, last)
        if averaged is not None:
            averaged.begin()
        if computed:
            start = time.perf_counter()
            net.backward_from_to(last, 0, averaged.done if averaged is not None else None)
            backward = time.perf_counter() - start
        return backward, averaged.finish().waiting if averaged is not None else 0.0

    def seconds(averaged: Gradients | None, computed: bool = True) -> tuple[float, float, float]:
        """Means of an iteration, and of its two parts."""
        run(averaged, computed)
        ranks.gather(None)
        start = time.perf_counter()
        parts = [run(averaged, computed) for _ in range(iterations)]
        backward, waiting = (sum(values) / iterations for values in zip(*parts, strict=True))
        return (time.perf_counter() - start) / iterations, backward, waiting

    compute, backward, _ = seconds(None)
    reduction = seconds(gradients, computed=False)[0]
    both, _, waiting = seconds(gradients)
    gathered = ranks.gather((compute, backward, reduction, both, waiting))
    means = [sum(values) / ranks.size for values in zip(*gathered, strict=True)]
    size = gradients.buffer.size * gradients.buffer.dtype.itemsize
    # Beside the gradients, what the ranks agree on.
    return Figures(*means), size, len(gradients.buckets) + 1


def facts(net: Net, ranks: Group, iterations: int) -> dict[str, Any]:
    """What is measured, and what follows from it, as plain values."""
    from segcaffe.parallel.growth import Iteration, table
    from segcaffe.parallel.growth import measure as measure_link

    figures, size, messages = measure(net, ranks, iterations)
    link = measure_link(ranks)
    iteration = Iteration(figures.compute, figures.backward * figures.overlap, size, messages)
    return {
        "ranks": ranks.size,
        "gradient_bytes": size,
        "compute_ms": 1e3 * figures.compute,
        "reduction_ms": 1e3 * figures.reduction,
        "iteration_ms": 1e3 * figures.together,
        "overlap": figures.overlap,
        "efficiency": figures.efficiency,
        "latency_us": 1e6 * link.latency,
        "bandwidth": link.bandwidth,
        "forecast": [
            {"ranks": row.ranks, "iteration_ms": 1e3 * row.seconds, "efficiency": row.efficiency}
            for row in table(iteration, link)
        ],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The figures for people."""
    told = [
        f"{found['ranks']} ranks average {found['gradient_bytes'] / 1e6:.6g} MB of gradients.",
        f"Compute: {found['compute_ms']:.6g} ms. Reduction: {found['reduction_ms']:.6g} ms. "
        f"Together: {found['iteration_ms']:.6g} ms.",
        f"Overlap: {found['overlap']:.0%} of the reduction. Efficiency: {found['efficiency']:.0%}.",
        f"Latency: {found['latency_us']:.6g} us a step. Bandwidth: {found['bandwidth'] / 1e9:.6g} GB/s.",
        "Forecast, were all links as these:",
    ]
    return told + [
        f"{row['ranks']:>6} ranks: {row['iteration_ms']:.6g} ms, efficiency {row['efficiency']:.0%}"
        for row in found["forecast"]
    ]
