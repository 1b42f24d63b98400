"""How passes are computed on a GPU, for the process or one net: an object that is replaced, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

from segcaffe.errors import DeviceError

Math = Literal["fp32", "tf32"]


@dataclass(frozen=True)
class Settings:
    """What holds while something runs; nothing of it matters in CPU mode.

    Attributes
    ----------
    math:
        How float32 products are made: "fp32", or "tf32", faster, with 10 bits of mantissa.
    autotune:
        Whether cuDNN's plans for a new shape are timed and the fastest is kept, rather than its guess.
    graphs:
        Whether nets record their layers as CUDA graphs and replay them (see `segcaffe.net.replay`).
    """

    math: Math = "fp32"
    autotune: bool = False
    graphs: bool = False

    def __post_init__(self) -> None:
        if self.math not in ("fp32", "tf32"):
            raise DeviceError(f"The arithmetic of products is fp32 or tf32. Received: {self.math}.")


_process = Settings()
_own: ContextVar[Settings | None] = ContextVar("own settings", default=None)


def settings() -> Settings:
    """The settings that hold now: those of the net that runs, if it has its own, or else the process's."""
    return _own.get() or _process


@contextmanager
def using(own: Settings | None) -> Iterator[None]:
    """While it lasts these settings hold in this thread; with None, those that held before."""
    token = _own.set(own or _own.get())
    try:
        yield
    finally:
        _own.reset(token)


def configure(**changes: Any) -> Settings:
    """Change some settings of the process; returns those before, which ``configure(**vars(before))`` brings back."""
    global _process
    before, _process = _process, replace(_process, **changes)
    return before
