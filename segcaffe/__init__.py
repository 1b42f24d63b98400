"""segcaffe: Caffe-compatible networks in Python, with the segmentation-aware layers of Harley et al. (ICCV 2017).

The public API is pycaffe's: ``import segcaffe as caffe`` and use ``caffe.Net``, ``caffe.get_solver``,
``caffe.set_mode_cpu()``. Names are loaded on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segcaffe.device import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
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
from segcaffe.version import __version__
from segcaffe.wiring import upcalls
from segcaffe.wiring.aliases import PYCAFFE, install_public

if TYPE_CHECKING:
    from segcaffe import dnn, layers, proto, pycaffe
    from segcaffe.blob import Blob
    from segcaffe.files.limits import max_bytes, set_max_bytes
    from segcaffe.layers.python.user import PythonLayerBase as Layer
    from segcaffe.layers.registry import layer_types as layer_type_list
    from segcaffe.net.net import Net
    from segcaffe.proto.caffe_pb2 import LayerParameter, NetState, SolverParameter
    from segcaffe.pycaffe import _caffe, as_caffe, classifier, coord_map, detector, draw, io, net_spec
    from segcaffe.pycaffe.classifier import Classifier
    from segcaffe.pycaffe.detector import Detector
    from segcaffe.pycaffe.nccl import NCCL
    from segcaffe.pycaffe.net_spec import NetSpec, params, to_proto
    from segcaffe.solver.ada_delta import AdaDeltaSolver
    from segcaffe.solver.ada_grad import AdaGradSolver
    from segcaffe.solver.adam import AdamSolver
    from segcaffe.solver.nesterov import NesterovSolver
    from segcaffe.solver.registry import get_solver
    from segcaffe.solver.rms_prop import RMSPropSolver
    from segcaffe.solver.sgd import SGDSolver
    from segcaffe.solver.solver import Solver
    from segcaffe.threads.parallel import num_threads, set_num_threads

TRAIN = 0
"""The training phase."""
TEST = 1
"""The test phase."""

_LAZY = {
    "NCCL": "segcaffe.pycaffe.nccl",
    "AdaDeltaSolver": "segcaffe.solver.ada_delta",
    "AdaGradSolver": "segcaffe.solver.ada_grad",
    "AdamSolver": "segcaffe.solver.adam",
    "Blob": "segcaffe.blob",
    "Classifier": "segcaffe.pycaffe.classifier",
    "Detector": "segcaffe.pycaffe.detector",
    "Layer": "segcaffe.layers.python.user:PythonLayerBase",
    "LayerParameter": "segcaffe.proto.caffe_pb2",
    "NesterovSolver": "segcaffe.solver.nesterov",
    "Net": "segcaffe.net.net",
    "NetSpec": "segcaffe.pycaffe.net_spec",
    "NetState": "segcaffe.proto.caffe_pb2",
    "RMSPropSolver": "segcaffe.solver.rms_prop",
    "SGDSolver": "segcaffe.solver.sgd",
    "Solver": "segcaffe.solver.solver",
    "SolverParameter": "segcaffe.proto.caffe_pb2",
    "get_solver": "segcaffe.solver.registry",
    "layer_type_list": "segcaffe.layers.registry:layer_types",
    "max_bytes": "segcaffe.files.limits",
    "num_threads": "segcaffe.threads.parallel",
    "params": "segcaffe.pycaffe.net_spec",
    "set_max_bytes": "segcaffe.files.limits",
    "set_num_threads": "segcaffe.threads.parallel",
    "to_proto": "segcaffe.pycaffe.net_spec",
}
"""Where each public name is defined (``module`` or ``module:name there``)."""
_MODULES = (*PYCAFFE, "dnn", "layers", "proto", "pycaffe")

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "LayerParameter",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "NetState",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "SolverParameter",
    "Timer",
    "__version__",
    "_caffe",
    "as_caffe",
    "classifier",
    "coord_map",
    "detector",
    "dnn",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "max_bytes",
    "net_spec",
    "num_threads",
    "params",
    "proto",
    "pycaffe",
    "set_device",
    "set_max_bytes",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_num_threads",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def _layer_types() -> list[str]:
    from segcaffe.layers.registry import layer_types

    return layer_types()


def _layer_function(name: str) -> Callable[..., Any]:
    from segcaffe.pycaffe.net_spec import layers

    function: Callable[..., Any] = getattr(layers, name)
    return function


def _net_table(net: Net) -> str:
    from segcaffe.viz.net_table import table

    return table(net)


def _net_as_html(net: Net) -> str:
    from segcaffe.pycaffe.notebook import html

    return html(net)


install_public()
upcalls.layer_types = _layer_types
upcalls.layer_function = _layer_function
upcalls.net_table = _net_table
upcalls.net_as_html = _net_as_html


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    if name == "proto":
        importlib.import_module("segcaffe.proto.caffe_pb2")
    if name in _MODULES:
        return importlib.import_module(f"segcaffe.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'segcaffe' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
