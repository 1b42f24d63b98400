"""The names of pycaffe's module ``caffe.pycaffe``: the net, the solvers, and the modules it uses."""

from __future__ import annotations

from segcaffe import _caffe, io
from segcaffe._caffe import (
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
