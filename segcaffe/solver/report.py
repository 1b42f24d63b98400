"""The lines a solver logs. Log parsers read them, so each is worded and spaced as Caffe's."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from segcaffe.net.net import Net

log = logging.getLogger("segcaffe")
MANY = 256
"""Outputs of more values are logged by their mean."""
Scores = dict[str, np.ndarray[Any, Any]]


class Speed:
    """Iterations per second since the last line that told it."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.iteration = 0

    def start(self, iteration: int) -> None:
        """Start the clock, unless it runs."""
        if self.since is None:
            self.since, self.iteration = time.perf_counter(), iteration

    def lap(self, iteration: int) -> tuple[float, float]:
        """Return iterations per second and seconds since the last lap, and begin another."""
        now = time.perf_counter()
        lapse = now - self.since if self.since is not None else 0.0
        done = iteration - self.iteration
        self.since, self.iteration = now, iteration
        return done / (lapse or 1.0), lapse


def value_names(net: Net) -> dict[str, tuple[str, ...]]:
    """What the values of blobs measure, by blob, where a layer knows: SegAccuracy's three, for example."""
    found = {}
    for node, layer in zip(net.graph.nodes, net.layers, strict=True):
        names = getattr(layer, "value_names", ())
        if names and node.tops:
            found[net.graph.blob_names[node.tops[0]]] = names
    return found


def called_of(names: Mapping[str, tuple[str, ...]], blob: str, count: int) -> tuple[str, ...]:
    """What each of a blob's values is called; nothing where that is not known."""
    known = names.get(blob, ())
    return known if len(known) == count else ("",) * count


def report_training(net: Net, iteration: int, loss: float, display: int, speed: Speed) -> None:
    """Log speed, loss and every value of the train net's outputs."""
    rate, lapse = speed.lap(iteration)
    log.info("Iteration %d (%.6g iter/s, %.6gs/%d iters), loss = %.6g", iteration, rate, lapse, display, loss)
    report_outputs("Train", net, {name: net.blobs[name].data for name in net.outputs})


def report_sparsity(net: Net, iteration: int) -> None:
    """Log which part of the weights is 0, of each layer and of all; biases do not count, shared weights once."""
    zeros, sizes, owned = 0, 0, {id(blob) for blob in net.learnable_params}
    for name, blobs in net.params.items():
        blob = blobs[0]
        if len(blob.shape) < 2 or id(blob) not in owned or not blob.count:
            continue
        own = int((blob.data == 0).sum())
        zeros, sizes = zeros + own, sizes + blob.count
        log.info("    Sparsity of %s: %.2f %% of %d weights", name, 100 * own / blob.count, blob.count)
    log.info("Iteration %d, sparsity: %.2f %% of %d weights are 0", iteration, 100 * zeros / max(sizes, 1), sizes)


def report_outputs(kind: str, net: Net, scores: Scores) -> None:
    """Log each output value on its line, with its part in the loss where it has one, or what it measures.

    Of an output of more than `MANY` values (a map of scores, say) the mean is logged: Caffe's lines for each value make
    logs of hundreds of megabytes.
    """
    weights, names = net.blob_loss_weights, value_names(net)
    index = 0
    for name, values in scores.items():
        weight = weights[name]
        if values.size > MANY:
            log.info(
                "    %s net output #%d: %s = %.6g (mean of %d values)", kind, index, name, values.mean(), values.size
            )
            index += values.size
            continue
        for value, called in zip(values.reshape(-1).tolist(), called_of(names, name, values.size), strict=True):
            loss = f" (* {weight:.6g} = {weight * value:.6g} loss)" if weight else ""
            log.info("    %s net output #%d: %s = %.6g%s%s", kind, index, name, value, loss, called and f" ({called})")
            index += 1
