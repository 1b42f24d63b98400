"""Cases of every layer type; `all_cases` collects the lists of all modules here."""

from __future__ import annotations

import importlib
import pkgutil

from segcaffe.testing import LayerCase


def all_cases() -> list[LayerCase]:
    """Every case of every module of this package."""
    cases: list[LayerCase] = []
    for module in pkgutil.iter_modules(__path__):
        cases.extend(importlib.import_module(f"{__name__}.{module.name}").CASES)
    return cases
