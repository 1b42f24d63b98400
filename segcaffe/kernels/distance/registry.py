"""Distances by name: the two of the paper, and those that users add as a function of a difference and its slope."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segcaffe.errors import SegcaffeError, did_you_mean

Function = Callable[[float], float]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STEP = 1e-5
_POINTS = tuple(sign * (0.037 + 0.173 * i) for i in range(24) for sign in (-1, 1))
"""Differences at which functions are tried; none is a round number, where kinks would be."""
_WRONG = 4
"""At how many of the points a slope may differ from the function's: kinks, a few of which may lie on a point."""


@dataclass(frozen=True, eq=False)
class Distance:
    """A distance Σ value(d) over the channels, d being centre minus neighbour, and value's derivative.

    Attributes
    ----------
    name:
        What prototxt files and functions call it.
    value, slope:
        Of one difference, a number; what Numba compiles. ``value(0)`` is 0.
    """

    name: str
    value: Function
    slope: Function


def _absolute(d: float) -> float:
    return abs(d)


def _sign(d: float) -> float:
    return (d > 0) - (d < 0)


def _half_square(d: float) -> float:
    return 0.5 * d * d


def _itself(d: float) -> float:
    return d


L1 = Distance("l1", _absolute, _sign)
L2 = Distance("l2", _half_square, _itself)
_known: dict[str, Distance] = {"l1": L1, "l2": L2}


def register_distance(name: str, value: Function, slope: Function) -> None:
    """Add a distance, for ``norm`` of the functions and ``distance`` of the layers Im2dist and NormConv.

    The distance of two pixels is the sum of ``value(d)`` over the channels, d being centre minus neighbour. Both
    functions are compiled by Numba into the loops over windows when the distance is first used, as if written there.

    Parameters
    ----------
    name:
        Small letters, digits, underscores. One that is known is replaced, other than "l1" and "l2".
    value:
        Of a difference, a float: 0 at 0, and never negative. What Numba compiles: arithmetic, ``math``, conditions.
    slope:
        The derivative of ``value``.

    Raises
    ------
    SegcaffeError
        The name is none, or a function is not as told; ``slope`` is compared with differences of ``value``.
    """
    if not _NAME.fullmatch(name) or name in ("l1", "l2"):
        raise SegcaffeError(
            f"a distance's name is small letters, digits and underscores, and not l1 or l2. Received: {name!r}."
        )
    _check(name, value, slope)
    _known[name] = Distance(name, value, slope)


def find_distance(name: str) -> Distance | None:
    """The distance of that name, if there is one."""
    return _known.get(name)


def unknown_distance(name: str) -> str:
    """The end of a message on a name that is none: what there is, and how there could be more."""
    there = ", ".join(sorted(_known))
    return (f"There is no distance {name!r}.{did_you_mean(name, _known)} There are: {there}. Others are added by "
            "segcaffe.functional.register_distance; commands find them in a module with --plugin MODULE.")  # fmt: skip


def _check(name: str, value: Function, slope: Function) -> None:
    """Raise SegcaffeError where the functions cannot be a distance and its derivative."""
    origin = _at(name, value, 0.0)
    if origin != 0:
        raise SegcaffeError(f"distance {name}: a pixel is at distance 0 from itself. Received: value(0) = {origin:g}.")
    wrong = []
    for d in _POINTS:
        here = _at(name, value, d)
        if here < 0:
            raise SegcaffeError(f"distance {name}: it is never negative. Received: value({d:g}) = {here:g}.")
        expected = (_at(name, value, d + _STEP) - _at(name, value, d - _STEP)) / (2 * _STEP)
        received = _at(name, slope, d)
        if abs(received - expected) > 1e-3 * max(1.0, abs(expected)):
            wrong.append(f"slope({d:g}) = {received:g}, where differences of value give {expected:g}")
    if len(wrong) > _WRONG:
        raise SegcaffeError(f"distance {name}: slope must be the derivative of value. Received: {wrong[0]}.")


def _at(name: str, function: Any, d: float) -> float:
    """A function's value, which must be a finite number."""
    try:
        found = float(function(d))
    except Exception as error:
        raise SegcaffeError(f"distance {name}: a function fails at {d:g}: {type(error).__name__}: {error}.") from error
    if not math.isfinite(found):
        raise SegcaffeError(f"distance {name}: functions are finite. Received: {found} at {d:g}.")
    return found
