"""How passes are computed on a GPU, as the commands' options say it: one object that is replaced, never changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from segcaffe.errors import DeviceError

Math = Literal["fp32", "tf32"]


@dataclass(frozen=True)
class Settings:
    """What holds for everything that runs from now on; nothing of it matters in CPU mode.

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


_current = Settings()


def settings() -> Settings:
    """The settings that hold now."""
    return _current


def configure(**changes: Any) -> Settings:
    """Change some settings by name; returns those that held before, which ``configure(**vars(before))`` brings back."""
    global _current
    before, _current = _current, replace(_current, **changes)
    return before
