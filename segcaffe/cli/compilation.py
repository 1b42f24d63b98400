"""How far compiling has come, shown in a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segcaffe.glog import shows_progress
from segcaffe.jit import ahead
from segcaffe.net import position
from segcaffe.text.bars import bar_type


@contextmanager
def ahead_shown(options: argparse.Namespace) -> Iterator[None]:
    """While a command runs, show on a terminal how many of the kernels that a net needs are compiled.

    Not with --json, whose output another program reads.
    """
    if not shows_progress() or getattr(options, "json", None):
        yield
        return
    shown: list[Any] = []

    def show(done: int, count: int) -> None:
        if not shown:
            shown.append(bar_type()(total=count, desc="compiling kernels, once", dynamic_ncols=True, leave=False))
        shown[0].update(done - shown[0].n)
        if done == count:
            shown.pop().close()

    try:
        with ahead.progress_told(show):
            yield
    finally:
        for bar in shown:
            bar.close()


@contextmanager
def compilation_shown(bar: Any) -> Iterator[None]:
    """While it lasts, say behind the bar (tqdm's) how many kernels are compiled, and for which layer.

    At the end the bar, which stays on the terminal, has what stood behind it before.
    """
    if "numba" not in sys.modules:
        # Nothing was imported that could compile.
        yield
        return
    from numba.core import event

    class Show(event.Listener):  # type: ignore[misc]
        """Hears of every kernel that is compiled; those that it calls are compiled within."""

        depth = done = 0
        shown = before = ""

        def on_start(self, event: Any) -> None:
            """Tell the layer that waits for it."""
            self.depth += 1
            if self.depth == 1:
                layer = f", {position.text()}" if position.now else ""
                if bar.postfix != self.shown:
                    self.before = bar.postfix or ""
                self.shown = f"compiling kernels, once: {self.done} done{layer}"
                bar.set_postfix_str(self.shown)

        def on_end(self, event: Any) -> None:
            """Count it."""
            self.depth -= 1
            self.done += self.depth == 0

    listener = Show()
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)
        if listener.shown and bar.postfix == listener.shown:
            bar.set_postfix_str(listener.before, refresh=False)
