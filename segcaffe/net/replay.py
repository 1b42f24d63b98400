"""CUDA graphs: layers whose work is the same every time are recorded once and then launched together.

Most of the time of a net of many small layers goes into Python and into launches. A run of layers that touches
nothing but device memory is recorded once it has run with the same blobs before, and then replayed by one call.
Layers that look at host memory, draw random numbers on the host or change their shapes run as they always do, between
the recorded ones; which those are is found by watching them run.

What was recorded holds as long as nothing moves: a blob that gets other memory, a layer that is reshaped, or one that
runs outside (`Net.forward` of a part of the net, for example) makes the net record anew.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from segcaffe import device
from segcaffe.blob import Blob, Buffer
from segcaffe.errors import DeviceError
from segcaffe.net.parts import Step

Place = tuple[tuple[int, ...], int, int]


def replay_wanted() -> bool:
    """Whether nets record and replay now: in GPU mode, where the settings say so."""
    return device.settings().graphs and device.get_mode() == "GPU"


class Replay:
    """One direction of a net: the forward pass or the backward pass.

    Parameters
    ----------
    steps:
        The net's layers.
    order:
        Indices of those that run, in their order.
    run_layer:
        The net's method that runs the layer of an index.
    backward:
        Whether gradients are read and written.
    """

    def __init__(
        self, steps: Sequence[Step], order: Sequence[int], run_layer: Callable[[int], None], backward: bool
    ) -> None:
        self._steps, self._order, self._backward = steps, order, backward
        self.settings = device.settings()
        # The net owns its replays: a reference back would keep a dropped net's memory until Python looks for cycles.
        self._run_layer = weakref.WeakMethod(run_layer)
        self._parts: list[_Part] | None = None
        self._is_warm = False

    def run_layer(self, i: int) -> None:
        """Run one layer."""
        run = self._run_layer()
        assert run is not None, "a replay is used by its net only"
        run(i)

    def touched(self, i: int) -> list[Place]:
        """Shapes and memory of the blobs that a layer reads and writes, brought up to date on the device."""
        step = self._steps[i]
        own = (*step.layer.blobs, *step.layer.saved_blobs.values(), *step.layer.state_blobs.values())
        return [_place(blob, self._backward) for blob in (*step.bottom, *step.top, *own)]

    def run(self) -> None:
        """Run all layers."""
        if not self._is_warm:
            # The first time, weights go to the device and kernels are compiled: nothing to judge a layer by.
            for i in self._order:
                self.run_layer(i)
            self._is_warm = True
            return
        if self._parts is None:
            self._parts = self._watch()
            return
        index = 0
        while index < len(self._parts):
            part = self._parts[index]
            stuck = part.run(self)
            if stuck is not None:
                pieces = (part.layers[:stuck], part.layers[stuck : stuck + 1], part.layers[stuck + 1 :])
                self._parts[index : index + 1] = [_Part(piece, k != 1) for k, piece in enumerate(pieces) if piece]
            else:
                index += 1

    def _watch(self) -> list[_Part]:
        """Run every layer, and divide them into those that keep to the device and those that do not."""
        parts: list[_Part] = []
        for i in self._order:
            self.touched(i)
            layer, before = self._steps[i].layer, _host_state()
            self.run_layer(i)
            alike = layer.replayable and not (layer.source or layer.reshape_always)
            keeps = alike and _host_state() == before
            if not parts or not keeps or not parts[-1].recordable:
                parts.append(_Part([], keeps))
            parts[-1].layers.append(i)
        return parts


class _Part:
    """Consecutive layers, recorded as one graph if they are recordable."""

    def __init__(self, layers: list[int], recordable: bool) -> None:
        self.layers, self.recordable = layers, recordable
        self._graph: Any = None
        self._pool: Any = None
        self._places: list[Place] = []

    def run(self, replay: Replay) -> int | None:
        """Replay, record and replay, or just run the layers; returns the place of a layer that cannot be recorded."""
        if not self.recordable or self._look(replay) != self._places:
            self._graph = None
            for i in self.layers:
                replay.run_layer(i)
            self._places = self._look(replay) if self.recordable else []
            return None
        if self._graph is None:
            stuck = self._record(replay)
            if stuck is not None:
                return stuck
        if self._graph is None:
            # CUDA refused without saying which layer's fault it was.
            self.recordable = False
            return self.run(replay)
        self._graph.launch()
        return None

    def _look(self, replay: Replay) -> list[Place]:
        """What a recording depends on: shapes and memory of all blobs, whose values this brings to the device."""
        return [place for i in self.layers for place in replay.touched(i)]

    def _record(self, replay: Replay) -> int | None:
        """Record all layers; returns the place of the first that cannot be."""
        gpu = device.xp()
        # Temporary arrays of the graph live in memory that no other array gets, as long as the graph does.
        self._pool = gpu.cuda.MemoryPool()
        stream = gpu.cuda.Stream(non_blocking=True)
        device.synchronize()
        stuck: int | None = None
        with gpu.cuda.using_allocator(self._pool.malloc), stream:
            stream.begin_capture(gpu.cuda.runtime.streamCaptureModeRelaxed)
            try:
                stuck = next((k for k, i in enumerate(self.layers) if not self._keeps_to_device(replay, i)), None)
            finally:
                graph = None
                with contextlib.suppress(RuntimeError):
                    graph = stream.end_capture()
        self._graph = graph if stuck is None else None
        return stuck

    def _keeps_to_device(self, replay: Replay, i: int) -> bool:
        before = _host_state()
        try:
            replay.run_layer(i)
        except (RuntimeError, MemoryError, DeviceError):
            # What CUDA does not let a graph hold, as waiting for a result; or no memory for its temporary arrays.
            return False
        return _host_state() == before


def _host_state() -> tuple[int, str]:
    """What changes when a layer looks at host memory or draws from the host's random numbers."""
    return device.host_visits(), repr(device.get_state())


def _place(blob: Blob, grad: bool) -> Place:
    """Shape of a blob, and where its values (and gradient) are on the device, brought up to date there."""
    return blob.shape, _address(blob.buffer("data")), _address(blob.buffer("diff")) if grad else 0


def _address(buffer: Buffer) -> int:
    """0 if the buffer has not been used yet."""
    return int(buffer.array().data.ptr) if buffer.size and buffer.head != "nowhere" else 0
