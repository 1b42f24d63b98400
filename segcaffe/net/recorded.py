"""A forward pass written down: a net in phase TEST runs again without its layers' Python.

Each layer whose `forward` is `recordable` tells, through its kernels, which calls of compiled functions it is made of
(`segcaffe.threads.recording`). A whole pass is recorded once it repeats the one before it, with nothing changed in
between. The next ones play the calls, those that follow each other as one call (`segcaffe.jit.stretch`); all other
layers run between them as they always do. Playing makes the very calls that the layers would make: its results have the
same bits.

A recording holds addresses, and what kernels prepared from parameters, as weights packed for the registers. Before it
is played, what it was made from is looked at:

- Blobs may have other shapes or other memory, or values that were computed because someone read them.
  `segcaffe.blob.buffer.changes` counts that for all blobs there are; only where it has moved, this net's are compared.
- Parameters may have been written. A buffer that is watched counts the arrays that it hands out, there and in
  `Buffer.lent`. Who had one when the pass was recorded can write at any time, so the values of such a parameter are
  compared with a copy.
- Another thread may run the net (workspace is a thread's own), or another number of threads the kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, groupby
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob, Buffer
from segcaffe.blob.blocked import BlockedBlob
from segcaffe.blob.buffer import changes
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.layers.base import Layer, is_recordable
from segcaffe.net.parts import Step
from segcaffe.threads import parallel
from segcaffe.threads.recording import Call, Divided, Tape, recording

RunLayer = Callable[[int], None]
_SINGLE_PLAYS = 3
"""Times that calls are made one by one before they become stretches, each of which takes milliseconds to make."""
PASSES = 2 + _SINGLE_PLAYS
"""Passes of a net of which nothing changes until they cost what all later ones do."""
_MOST_PATIENCE = 16
"""Passes to wait, at most, after recordings that were of no use."""


class Recorder:
    """Runs a net's whole forward passes, and records them where they repeat.

    Parameters
    ----------
    steps:
        The net's layers.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._basis: Basis | None = None
        self._recording: Recording | None = None
        self._patience, self._waited = 1, 0

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: it has memory of its own, of which nothing is recorded."""
        return {"steps": self._steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Recorder.__init__(self, state["steps"])

    def run(self, run_layer: RunLayer, begin: Callable[[], None]) -> float:
        """Run all layers forward, ``run_layer`` being called for those that are not recorded; returns the loss.

        ``begin`` is called before a pass that is not played.
        """
        if self._recording is not None:
            if self._recording.holds():
                return self._recording.play(run_layer)
            self._drop()
        begin()
        if self._waited >= self._patience and self._basis is not None and self._basis.holds():
            recorded = Recording(self._steps, self._basis, run_layer)
            self._basis, self._recording = None, recorded
            return recorded.loss
        loss = 0.0
        for i, step in enumerate(self._steps):
            run_layer(i)
            loss += step.loss()
        # First the old one goes, whose copies hold the parameters.
        self._basis = None
        self._basis = Basis(self._steps)
        self._waited += 1
        return loss

    def replayed(self) -> bool:
        """Play the recording if all of the net is in it and nothing has changed; whether that was done."""
        recorded = self._recording
        if recorded is None or not recorded.whole or not recorded.holds():
            return False
        recorded.play_whole()
        return True

    def _drop(self) -> None:
        """Give the recording up; wait longer for the next one where it was never played."""
        assert self._recording is not None
        self._patience = 1 if self._recording.plays else min(2 * self._patience, _MOST_PATIENCE)
        self._recording, self._waited = None, 0

    @property
    def held(self) -> int:
        """Bytes of what was prepared for the recorded pass, packed weights for example."""
        return 0 if self._recording is None else self._recording.held


class Basis:
    """What a recorded pass follows from: places of blobs, values of parameters, the thread, how work is divided."""

    def __init__(self, steps: Sequence[Step]) -> None:
        steps = [step for step in steps if is_recordable_step(step)]
        self._lists = list(chain.from_iterable((step.bottom, step.top, step.layer.blobs) for step in steps))
        self._places = self._look()
        self._changes = changes()
        self._threads = threading.get_ident(), parallel.num_threads()
        self._lent = {buffer: buffer.lent for step in steps for buffer in _parameters(step.layer)}
        self._copies = [(_bits(buffer), _bits(buffer).copy()) for buffer in self._lent if buffer.is_held()]
        for buffer in self._lent:
            buffer.watched = True

    def holds(self) -> bool:
        """Whether all is as it was."""
        if self._threads != (threading.get_ident(), parallel.num_threads()) or device.get_mode() != "CPU":
            return False
        if self._changes != changes():
            lent = all(buffer.lent == lent for buffer, lent in self._lent.items())
            if not lent or self._places != self._look():
                return False
            self._changes = changes()
        return not self._copies or all(np.array_equal(now, then) for now, then in self._copies)

    def narrow(self, layers: Iterable[Layer]) -> None:
        """Look at the parameters of these layers only from now on."""
        wanted = set(chain.from_iterable(map(_parameters, layers)))
        self._lent = {buffer: lent for buffer, lent in self._lent.items() if buffer in wanted}

    def _look(self) -> list[Any]:
        """Where the blobs are, in what shapes: a look that takes long where they are many."""
        blobs = dict.fromkeys(chain.from_iterable(self._lists))
        return [(blob.shape, blob.buffer("data"), blob.buffer("data").place(), _is_due(blob)) for blob in blobs]


class Recording:
    """One pass: calls, and between them the layers that run as always.

    Attributes
    ----------
    loss:
        The sum of weighted losses of the pass.
    plays:
        How often it was played.
    held:
        Bytes of what was prepared for the calls.
    whole:
        Whether no layer runs between the calls.
    """

    def __init__(self, steps: Sequence[Step], basis: Basis, run_layer: RunLayer) -> None:
        self._steps, self._basis = steps, basis
        self.loss, self.plays, self.held = 0.0, 0, 0
        tapes = [self._run(step, partial(run_layer, i)) for i, step in enumerate(steps)]
        basis.narrow(step.layer for step, tape in zip(steps, tapes, strict=True) if tape is not None)
        self._parts: list[Played | int] = []
        for recorded, group in groupby(enumerate(tapes), key=lambda item: item[1] is not None):
            if recorded:
                layers, calls = zip(*((i, tape.calls) for i, tape in group if tape), strict=True)
                self._parts.append(Played(layers, list(chain.from_iterable(calls))))
            else:
                self._parts += [i for i, _ in group]
        self.whole = None not in tapes

    def _run(self, step: Step, run: Callable[[], None]) -> Tape | None:
        """Run a layer; returns what it did, None where that cannot be repeated."""
        if not is_recordable_step(step):
            run()
            self.loss += step.loss()
            return None
        tape = Tape()
        with recording(tape):
            run()
        self.held += tape.held
        if tape.complete:
            return tape
        for buffer in _parameters(step.layer):
            # It may have written to them, but not to values in half precision.
            if buffer.half() is None:
                buffer.host()
        return None

    def holds(self) -> bool:
        """Whether what it was made from is as it was."""
        return self._basis.holds()

    def play(self, run_layer: RunLayer) -> float:
        """Do what the recorded pass did; returns the loss.

        Where a layer in between changes what was recorded, those behind it run as always.
        """
        self.plays += 1
        loss, holds = 0.0, True
        for part in self._parts:
            if isinstance(part, int):
                run_layer(part)
                loss += self._steps[part].loss()
                holds = holds and self._basis.holds()
            elif holds:
                part.play(self.plays)
            else:
                for i in part.layers:
                    run_layer(i)
        return loss

    def play_whole(self) -> None:
        """`play` where no layer runs in between."""
        self.plays += 1
        for part in self._parts:
            part.play(self.plays)  # type: ignore[union-attr]


class Played:
    """Consecutive layers as calls."""

    def __init__(self, layers: Sequence[int], calls: Sequence[Call | Divided]) -> None:
        self.layers, self._calls = layers, calls
        self._actions: list[Callable[[], Any]] = [partial(call.function, *call.arguments) for call in calls]

    def play(self, time: int) -> None:
        """Make the calls, for the so-manieth time."""
        if time == _SINGLE_PLAYS:
            self._join()
        for action in self._actions:
            action()

    def _join(self) -> None:
        """Make one call of those of compiled functions that follow each other."""
        # Brings Numba with it, which those do without who make no pass.
        from segcaffe.threads.together import is_playable, joined

        self._actions = []
        for playable, group in groupby(self._calls, key=is_playable):
            if playable:
                self._actions.append(joined(list(group)))
            else:
                self._actions += [partial(call.function, *call.arguments) for call in group]


def is_recordable_step(step: Step) -> bool:
    """Whether all that a layer does is to call kernels on its blobs, whose values are there."""
    lazy = any(isinstance(blob, LazyBlob) for blob in (*step.bottom, *step.top)) and not step.layer.leaves_due
    return is_recordable(step.layer) and not (step.layer.reshape_always or any(step.loss_weights) or lazy)


def _is_due(blob: Blob) -> bool:
    """Whether there is something to do when a blob's values are read, as a recorded pass leaves them."""
    return blob.order.lanes > 1 if isinstance(blob, BlockedBlob) else isinstance(blob, LazyBlob) and blob.is_due("data")


def _parameters(layer: Layer) -> list[Buffer]:
    """The buffers of a layer's parameters, each once."""
    return list(dict.fromkeys(blob.buffer("data") for blob in layer.blobs))


def _bits(buffer: Buffer) -> np.ndarray[Any, Any]:
    """A buffer's values on the host as whole numbers, which equal each other where NaN does not; lent to nobody."""
    return buffer.read_host().view(f"i{buffer.dtype.itemsize}")
