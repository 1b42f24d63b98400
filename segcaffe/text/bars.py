"""Progress bars, and lines above them."""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from typing import Any


def in_notebook() -> bool:
    """Whether the process runs a notebook's cells."""
    return "ipykernel.zmqshell" in sys.modules


def _tqdm() -> Any:
    """The class of bars that tqdm has: in a notebook, where its widgets are installed, a widget, elsewhere text."""
    if not in_notebook():
        # tqdm.auto would choose the same, but takes asyncio along, which a command's start would wait for.
        from tqdm import tqdm

        return tqdm
    with warnings.catch_warnings():
        # Without the widgets it warns; text serves.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm as chosen

        return chosen


@functools.cache
def bar_type() -> Any:
    """The class of progress bars (tqdm's), with a lock of this process alone.

    tqdm's own is one that forked processes share, so that one of them, killed while it prints, would keep it: every
    process would wait for it with its next line for ever.
    """
    base: Any = _tqdm()

    class Bar(base):  # type: ignore[misc]
        """A bar that no other process can stop."""

    def renew() -> None:
        Bar.set_lock(threading.RLock())

    renew()
    if hasattr(os, "register_at_fork"):
        # Another thread may have had it when the process was forked.
        os.register_at_fork(after_in_child=renew)
    return Bar
