"""What others may ask of a running solver: functions to be called along the way, a stop, a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from segcaffe.solver import checkpoint, report

Tested = Callable[[int, report.Scores], None]
Saved = Callable[[checkpoint.Paths], None]


class Progress(NamedTuple):
    """What a progress hook is told after each iteration: how many are done, the averaged loss, the rate used."""

    iter: int
    loss: float
    lr: float


class Requests(NamedTuple):
    """What a solver was asked for, by a signal for example: to stop, or to write a snapshot."""

    stop: bool = False
    snapshot: bool = False


class Hooks:
    """The part of a solver that takes functions and requests."""

    def __init__(self) -> None:
        self._callbacks: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._progress: list[Callable[[Progress], None]] = []
        self._watchers: list[tuple[Tested, Saved]] = []
        self._stop_requested = self._snapshot_requested = False

    def request_stop(self) -> None:
        """Ask a running `step` to stop after the current iteration; may be called from a signal handler."""
        self._stop_requested = True

    def request_snapshot(self) -> None:
        """Ask a running `step` for a snapshot after the current iteration; may be called from a signal handler."""
        self._snapshot_requested = True

    def add_callback(self, on_start: Any, on_gradients_ready: Callable[[], None] | None = None) -> None:
        """Have two functions called in each iteration: before the forward pass, and before the update.

        Both may be methods of one object, as pycaffe's ``NCCL`` has them: ``solver.add_callback(nccl)``.
        """
        if on_gradients_ready is None:
            on_start, on_gradients_ready = on_start.on_start, on_start.on_gradients_ready
        self._callbacks.append((on_start, on_gradients_ready))

    def add_progress(self, hook: Callable[[Progress], None]) -> None:
        """Have a function called after each iteration."""
        self._progress.append(hook)

    def add_watcher(self, tested: Tested, saved: Saved) -> None:
        """Have two functions called: with a test net's number and mean outputs, and with a snapshot's paths."""
        self._watchers.append((tested, saved))

    def _take_requests(self) -> Requests:
        """What was asked for since the last call."""
        taken = Requests(self._stop_requested, self._snapshot_requested)
        self._stop_requested = self._snapshot_requested = False
        return taken
