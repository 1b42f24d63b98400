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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from segcaffe import device
from segcaffe.blob import Blob, Buffer
from segcaffe.errors import DeviceError
from segcaffe.layers.base import Layer

if TYPE_CHECKING:
    from segcaffe.net.net import Net

Place = tuple[tuple[int, ...], int, int]
Touched = Callable[[int], list[Place]]


def replay_wanted() -> bool:
    """Whether nets record and replay now: in GPU mode, where the settings say so."""
    return device.settings().graphs and device.get_mode() == "GPU"


class Replay:
    """One direction of a net, forward or backward.

    Parameters
    ----------
    order:
        Indices of the layers, in the order they run.
    step:
        Runs one layer.
    touched:
        Shapes and memory of the blobs that a layer reads and writes, brought up to date on the device.
    replayable:
        Whether a layer may be recorded at all.
    """

    def __init__(
        self,
        order: Sequence[int],
        step: Callable[[int], None],
        touched: Touched,
        replayable: Callable[[int], bool],
    ) -> None:
        self._order, self._step, self._touched, self._replayable = list(order), step, touched, replayable
        self._parts: list[_Part] | None = None
        self._is_warm = False

    def forget(self) -> None:
        """Record anew."""
        self._parts = None

    def run(self) -> int:
        """Run all layers; returns how many were replayed."""
        if not self._is_warm:
            # The first time, weights go to the device and kernels are compiled: nothing to judge a layer by.
            for i in self._order:
                self._step(i)
            self._is_warm = True
            return 0
        if self._parts is None:
            self._parts = self._watch()
            return 0
        replayed, index = 0, 0
        while index < len(self._parts):
            part = self._parts[index]
            stuck = part.run()
            if stuck is not None:
                pieces = (part.layers[:stuck], part.layers[stuck : stuck + 1], part.layers[stuck + 1 :])
                parts = [self._part(piece, k != 1) for k, piece in enumerate(pieces) if piece]
                self._parts[index : index + 1] = parts
            else:
                replayed += part.replayed
                index += 1
        return replayed

    def _watch(self) -> list[_Part]:
        """Run every layer, and divide them into those that keep to the device and those that do not."""
        parts: list[_Part] = []
        for i in self._order:
            self._touched(i)
            before = _host_state()
            self._step(i)
            keeps = self._replayable(i) and _host_state() == before
            if not parts or not keeps or not parts[-1].recordable:
                parts.append(self._part([], keeps))
            parts[-1].layers.append(i)
        return parts

    def _part(self, layers: list[int], recordable: bool) -> _Part:
        return _Part(layers, self._step, self._touched, recordable)


class _Part:
    """Consecutive layers, recorded as one graph if they are recordable."""

    def __init__(
        self,
        layers: list[int],
        step: Callable[[int], None],
        touched: Touched,
        recordable: bool,
    ) -> None:
        self.layers, self._step, self._touched, self.recordable = layers, step, touched, recordable
        self._graph: Any = None
        self._pool: Any = None
        self._places: list[Place] = []
        self.replayed = 0

    def run(self) -> int | None:
        """Replay, record and replay, or just run the layers; returns the place of a layer that cannot be recorded."""
        self.replayed = 0
        if not self.recordable or self._look() != self._places:
            self._graph = None
            for i in self.layers:
                self._step(i)
            self._places = self._look() if self.recordable else []
            return None
        if self._graph is None:
            stuck = self._record()
            if stuck is not None:
                return stuck
        if self._graph is None:
            # CUDA refused without saying which layer's fault it was.
            self.recordable = False
            return self.run()
        self._graph.launch()
        self.replayed = len(self.layers)
        return None

    def _look(self) -> list[Place]:
        """What a recording depends on: shapes and memory of all blobs, whose values this brings to the device."""
        return [place for i in self.layers for place in self._touched(i)]

    def _record(self) -> int | None:
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
                stuck = next((k for k, i in enumerate(self.layers) if not self._keeps_to_device(i)), None)
            finally:
                graph = None
                with contextlib.suppress(RuntimeError):
                    graph = stream.end_capture()
        self._graph = graph if stuck is None else None
        return stuck

    def _keeps_to_device(self, i: int) -> bool:
        before = _host_state()
        try:
            self._step(i)
        except (RuntimeError, MemoryError, DeviceError):
            # What CUDA does not let a graph hold, as waiting for a result; or no memory for its temporary arrays.
            return False
        return _host_state() == before


def forward_of(net: Net) -> Replay:
    """Replay of a net's forward pass."""
    touched = lambda i: [_place(blob, grad=False) for blob in _blobs(net, i)]  # noqa: E731
    return Replay(range(len(net.layer_list)), net.compute_layer, touched, lambda i: _replayable(net.layer_list[i]))


def backward_of(net: Net) -> Replay:
    """Replay of a net's backward pass."""
    touched = lambda i: [_place(blob, grad=True) for blob in _blobs(net, i)]  # noqa: E731
    order = [i for i in reversed(range(len(net.layer_list))) if net.layer_needs_backward[i]]
    return Replay(order, net.backward_layer, touched, lambda i: _replayable(net.layer_list[i]))


def _blobs(net: Net, i: int) -> list[Blob]:
    """Bottoms, tops and parameters of a layer, and the blobs that it keeps for itself."""
    layer = net.layer_list[i]
    own = (*layer.blobs, *layer.saved_blobs.values(), *layer.state_blobs.values())
    return [*net.bottom_blobs[i], *net.top_blobs[i], *own]


def _replayable(layer: Layer) -> bool:
    """Whether all passes of a layer are alike: it brings in no data, decides nothing anew and counts nothing."""
    return layer.replayable and not (layer.source or layer.reshape_always)


def _host_state() -> tuple[int, str]:
    """What changes when a layer looks at host memory or draws from the host's random numbers."""
    return device.host_visits(), repr(device.get_state())


def _place(blob: Blob, grad: bool) -> Place:
    """Shape of a blob, and where its values (and gradient) are on the device, brought up to date there."""
    return blob.shape, _address(blob.buffer("data")), _address(blob.buffer("diff")) if grad else 0


def _address(buffer: Buffer) -> int:
    """0 if the buffer has not been used yet."""
    return int(buffer.array().data.ptr) if buffer.size and buffer.head != "nowhere" else 0
