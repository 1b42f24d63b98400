"""The names of pycaffe's compiled module, ``caffe._caffe``, which scripts import and ask types of."""

from __future__ import annotations

from segcaffe.blob import Blob
from segcaffe.blob.vectors import BlobVec, BoolVec, DtypeVec, IntVec, LayerVec, NetVec, RawBlobVec, StringVec
from segcaffe.device import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from segcaffe.layers.python.user import PythonLayerBase as Layer
from segcaffe.layers.registry import layer_types as layer_type_list
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import LayerParameter, SolverParameter
from segcaffe.pycaffe.nccl import NCCL
from segcaffe.pycaffe.runtime import (
    Timer,
    has_nccl,
    init_log,
    log,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from segcaffe.solver.ada_delta import AdaDeltaSolver
from segcaffe.solver.ada_grad import AdaGradSolver
from segcaffe.solver.adam import AdamSolver
from segcaffe.solver.nesterov import NesterovSolver
from segcaffe.solver.registry import get_solver
from segcaffe.solver.rms_prop import RMSPropSolver
from segcaffe.solver.sgd import SGDSolver
from segcaffe.solver.solver import Solver
from segcaffe.version import __version__

__all__ = [
    "NCCL",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "BoolVec",
    "DtypeVec",
    "IntVec",
    "Layer",
    "LayerParameter",
    "LayerVec",
    "NesterovSolver",
    "Net",
    "NetVec",
    "RMSPropSolver",
    "RawBlobVec",
    "SGDSolver",
    "Solver",
    "SolverParameter",
    "StringVec",
    "Timer",
    "__version__",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]
