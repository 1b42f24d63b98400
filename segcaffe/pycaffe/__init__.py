"""pycaffe's modules; and, as ``caffe.pycaffe``, the names that module has: the net, the solvers, io.

The names are loaded on first use: modules of this folder are imported where no net is wanted.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcaffe.pycaffe import _caffe, io
    from segcaffe.pycaffe._caffe import (
        NCCL,
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        Net,
        RMSPropSolver,
        SGDSolver,
        Timer,
    )

__all__ = [
    "NCCL",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "_caffe",
    "io",
]


def __getattr__(name: str) -> Any:
    """Load a name: a module of this folder, or what the compiled module of pycaffe has."""
    if name not in __all__:
        raise AttributeError(f"module 'segcaffe.pycaffe' has no attribute {name!r}")
    if name in ("_caffe", "io"):
        return importlib.import_module(f"segcaffe.pycaffe.{name}")
    return getattr(importlib.import_module("segcaffe.pycaffe._caffe"), name)
