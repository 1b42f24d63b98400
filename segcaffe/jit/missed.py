"""Who hears of a function that must be compiled, before it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any, Any], None]


class _Listeners(threading.local):
    tell: Listener | None = None


listeners = _Listeners()
"""The calling thread's; called once, with the function and the signature, and then no more."""


def tell(function: Any, signature: Any) -> None:
    """Tell the thread's listener."""
    listener, listeners.tell = listeners.tell, None
    if listener is not None:
        listener(function, signature)
