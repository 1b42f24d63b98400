"""Progress bars, and lines above them."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any


@functools.cache
def bar_type() -> Any:
    """The class of progress bars (tqdm's), with a lock of this process alone.

    tqdm's own is one that forked processes share, so that one of them, killed while it prints, would keep it: every
    process would wait for it with its next line for ever.
    """
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        """A bar that no other process can stop."""

    def renew() -> None:
        Bar.set_lock(threading.RLock())

    renew()
    if hasattr(os, "register_at_fork"):
        # Another thread may have had it when the process was forked.
        os.register_at_fork(after_in_child=renew)
    return Bar
