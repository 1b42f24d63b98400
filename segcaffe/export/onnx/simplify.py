"""Graphs made smaller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def simplify(graph: Any, outputs: Sequence[str]) -> None:
    """Fold what follows a convolution channel by channel into its weights."""
