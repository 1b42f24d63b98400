"""The passes of a test, whose batches several ranks may share out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segcaffe.data.loader import Share
from segcaffe.net.net import Net
from segcaffe.parallel import Group
from segcaffe.solver.checkpoint import sources_of
from segcaffe.solver.summary import Summary

_log = logging.getLogger("segcaffe")
Pass = Callable[[], float | None]
"""Runs the net on a batch and returns the loss; None where the test is to end."""


def run_test(summary: Summary, count: int, ranks: Group, run: Pass) -> float | None:
    """Run ``count`` batches, or this rank's part of them; returns the mean loss of all, None where the test was ended.

    Shared out, each rank has every size-th batch, and what a layer sums up from batch to batch it sums up of those.
    """
    if not (ranks.joint and ranks.options.share_tests):
        loss = _passes(summary, count, run)
        return None if loss is None else loss / count
    rounds, left = divmod(count, ranks.size)
    loss = _passes(summary, rounds, run)
    if left:
        with _sharing(summary.net, ranks, left):
            if ranks.rank < left:
                loss = (loss or 0.0) + (_passes(summary, 1, run) or 0.0)
    summary.join(ranks)
    return sum(other or 0.0 for other in ranks.gather(loss)) / count


def _passes(summary: Summary, count: int, run: Pass) -> float | None:
    """The sum of the losses of so many batches."""
    total = 0.0
    for _ in range(count):
        loss = run()
        if loss is None:
            return None
        total += loss
        summary.add()
    return total


@contextmanager
def _sharing(net: Net, ranks: Group, size: int) -> Iterator[None]:
    """While it lasts only the first ``size`` ranks take batches; then all go on where those are."""
    sources = [layer for layer in sources_of(net) if layer.shared_out]
    for layer in sources:
        layer.take(Share(min(ranks.rank, size - 1), size, by_batch=True))
    yield
    states = ranks.gather([layer.state() for layer in sources])[0]
    for layer, state in zip(sources, states, strict=True):
        layer.restore(state)
        layer.take(layer.share())
