"""What a blob's values look like, in a few words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MOST = 1 << 16
"""Values that are looked at: of more, a sample of about as many."""


def value_range(values: np.ndarray[Any, Any]) -> str:
    """Return smallest, largest and mean value of a flat array, not an empty one, and how many values are NaN.

    NaN counts for none of the three. Of a large array values at equal distances are looked at; the text says how many.
    """
    looked = values[:: _step(values.size)]
    known = looked[~np.isnan(looked)]
    parts = []
    if known.size:
        # Infinite values of both signs have no mean.
        with np.errstate(all="ignore"):
            mean = known.mean(dtype=np.float64)
        parts += [f"min={known.min():.4g}", f"max={known.max():.4g}", f"mean={mean:.4g}"]
    if known.size < looked.size:
        parts.append(f"nan={looked.size - known.size}")
    if looked.size < values.size:
        parts.append(f"of a sample of {looked.size}")
    return ", ".join(parts)


def _step(size: int) -> int:
    """The distance of the values to look at; it shares no factor with any axis, so that no column is favoured."""
    step = -(-size // MOST)
    while math.gcd(step, size) > 1:
        step += 1
    return step
