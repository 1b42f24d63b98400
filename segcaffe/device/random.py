"""Random numbers: one seeded stream for the process (fillers, dropout, shuffles), another on the GPU.

Data layers derive streams of their own from it, so that what they draw does not depend on who else draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.device import mode

_host = np.random.Generator(np.random.PCG64())
_seed: int | None = None
_on_device: Any = None


def set_random_seed(seed: int) -> None:
    """Restart the random streams from ``seed`` (0 or more); a negative one gives a fresh, unrepeatable start."""
    global _host, _seed, _on_device
    _seed = int(seed) if seed >= 0 else None
    _host = np.random.Generator(np.random.PCG64(_seed))
    _on_device = None


def generator() -> np.random.Generator:
    """The process's stream of random numbers on the host."""
    return _host


def device_generator() -> Any:
    """A stream of random numbers on the current mode's device (the host's own in CPU mode)."""
    global _on_device
    if mode.get_mode() == "CPU":
        return _host
    if _on_device is None:
        _on_device = mode.xp().random.default_rng(int(_host.integers(1 << 62)))
    return _on_device


def get_state() -> dict[str, Any]:
    """The host stream's state, for a snapshot."""
    return dict(_host.bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Continue the host stream from a state that `get_state` gave."""
    _host.bit_generator.state = state
