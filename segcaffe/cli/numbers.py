"""Numbers on the command line, with the bounds of each option checked where it is read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from segcaffe.text.digits import signed_number

MOST = 2**31 - 1
MOST_SIDE = 1 << 20
"""Pixels on a side of what is made: of images, pads and borders."""
ANY_SEED = 10**18 - 1


def whole(least: int = -MOST, most: int = MOST) -> Callable[[str], int]:
    """A reader of whole numbers in a range, whose ends are allowed, for argparse."""

    def read(text: str) -> int:
        number = signed_number(text.strip())
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"needs a whole number from {least} to {most}. Received: {_short(text)}")
        return number

    return read


def finite(text: str) -> float:
    """Read a number for argparse: neither infinite nor NaN."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"needs a number. Received: {_short(text)}")
    return number


def factor(text: str) -> float:
    """Read a factor for argparse: a finite number other than 0."""
    number = finite(text)
    if number == 0:
        raise argparse.ArgumentTypeError(f"needs a number other than 0. Received: {_short(text)}")
    return number


def tolerance(text: str) -> float:
    """Read a largest difference for argparse: a finite number, 0 or more."""
    number = finite(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"needs a number of 0 or more. Received: {_short(text)}")
    return number


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
