"""The gradients of a net in one buffer, averaged over the ranks bucket by bucket while the backward pass goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.blob.buffer import Buffer, BufferPart
from segcaffe.layers.base import Layer
from segcaffe.net.net import Net
from segcaffe.parallel import Group, Wait

Array = Any
BUCKET = 4 << 20
"""Bytes from which on gradients are worth a message of their own."""


class Bucket(NamedTuple):
    """Neighbours in the buffer that are averaged at once.

    Attributes
    ----------
    ready_after:
        Index of the layer after whose backward pass all of them are complete.
    """

    blobs: list[Blob]
    start: int
    stop: int
    ready_after: int


class Spent(NamedTuple):
    """Seconds of an iteration: in which gradients were being averaged, and those of them in which nothing else ran."""

    averaging: float
    waiting: float


class Gradients:
    """The gradients of all parameters that learn, moved into one buffer in the order in which backward completes them.

    Running statistics, which layers renew in their forward passes, are averaged as the gradients are, in a buffer that
    goes first.

    Parameters
    ----------
    net:
        The net that is trained; the gradients of its parameters get other memory.
    group:
        The ranks.
    bucket:
        Least bytes of a bucket, but for the last.
    """

    def __init__(self, net: Net, group: Group, bucket: int = BUCKET) -> None:
        self._group, self._net = group, net
        ready = _ready_after(net)
        learning = sorted(ready, key=lambda i: -ready[i])
        blobs = [net.learnable_params[i] for i in learning]
        self.buffer = Buffer(sum(blob.count for blob in blobs), net.dtype)
        _move(net, blobs, self.buffer)
        self.buckets = _buckets(blobs, [ready[i] for i in learning], bucket // net.dtype.itemsize)
        self._statistics = [blob for layer in net.layer_list for blob in layer.running_statistics()]
        self._begun: list[Wait] = []
        self._next = 0
        self._since = 0.0
        self._open = False

    def begin(self) -> None:
        """Start a backward pass whose gradients are to be averaged: the statistics are complete before it."""
        self._begun, self._next, self._open = [], 0, True
        if self._statistics:
            self._kept = device.xp().concatenate([blob.array.reshape(-1) for blob in self._statistics])
            self._start(self._kept)

    def done(self, layer: int) -> None:
        """Begin to average what is complete, now that the backward pass of ``layer`` has run."""
        if not self._open:
            self.begin()
        while self._next < len(self.buckets) and self.buckets[self._next].ready_after >= layer:
            self._start_next()

    def finish(self) -> Spent:
        """Return when everything is averaged, also what no layer has completed, or no pass has begun."""
        if not self._open:
            self.begin()
        self._open = False
        while self._next < len(self.buckets):
            self._start_next()
        before = time.perf_counter()
        for wait in self._begun:
            wait()
        now = time.perf_counter()
        if self._statistics:
            self._put_back()
        return Spent(now - self._since if self._begun else 0.0, now - before)

    def _start_next(self) -> None:
        bucket = self.buckets[self._next]
        for blob in bucket.blobs:
            # Zeros that are put off must be there.
            _ = blob.grad
        self._next += 1
        self._start(self.buffer.array()[bucket.start : bucket.stop])

    def _start(self, array: Array) -> None:
        if not self._begun:
            self._since = time.perf_counter()
        self._begun.append(self._group.start_average_(array))

    def _put_back(self) -> None:
        start = 0
        for blob in self._statistics:
            blob.array.reshape(-1)[...] = self._kept[start : start + blob.count]
            start += blob.count


def _ready_after(net: Net) -> dict[int, int]:
    """For each parameter that gets a gradient the layer after whose backward pass it is complete.

    That is the first of the layers that use it; where an epilogue has absorbed a layer, the epilogue's.
    """
    leaders = {i: leader for leader, absorbed in net.graph.absorbed.items() for i in absorbed}
    numbers = {id(blob.buffer("data")): i for i, blob in enumerate(net.learnable_params)}
    ready: dict[int, int] = {}
    for i, layer in enumerate(net.layer_list):
        for index, blob in enumerate(layer.blobs):
            if _may_get_gradient(layer, index, net.graph.force_backward):
                number, at = numbers[id(blob.buffer("data"))], leaders.get(i, i)
                ready[number] = min(at, ready.get(number, at))
    return ready


def _may_get_gradient(layer: Layer, index: int, forced: bool) -> bool:
    """Whether the parameter's gradient is computed; layers of users may write to those of others as well."""
    learns = forced or layer.param_spec(index).lr_mult != 0
    return (learns and layer.wants_param(index)) or layer.type == "Python"


def _move(net: Net, blobs: Sequence[Blob], whole: Buffer) -> None:
    """Make the gradients of the blobs, and of those that share them, parts of one buffer."""
    parts: dict[int, BufferPart] = {}
    start = 0
    for blob in blobs:
        parts[id(blob.buffer("diff"))] = BufferPart(whole, start, blob.count)
        start += blob.count
    for layer in net.layer_list:
        for blob in layer.blobs:
            part = parts.get(id(blob.buffer("diff")))
            if part is not None:
                blob.use_buffer("diff", part)


def _buckets(blobs: Sequence[Blob], ready: Sequence[int], least: int) -> list[Bucket]:
    """Neighbours joined until they have ``least`` elements."""
    found: list[Bucket] = []
    first = start = stop = 0
    for i, blob in enumerate(blobs):
        stop += blob.count
        if stop - start >= least or i == len(blobs) - 1:
            found.append(Bucket(list(blobs[first : i + 1]), start, stop, ready[i]))
            first, start = i + 1, stop
    return found
