"""segcaffe: Caffe-compatible networks in Python, with the segmentation-aware layers of Harley et al. (ICCV 2017).

The public API is pycaffe's: ``import segcaffe as caffe`` and use ``caffe.Net``, ``caffe.get_solver``,
``caffe.set_mode_cpu()``. Names are loaded on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segcaffe.device import set_device, set_mode_cpu, set_mode_gpu, set_random_seed

if TYPE_CHECKING:
    from segcaffe.layers.python.user import PythonLayerBase as Layer
    from segcaffe.net.net import Net
    from segcaffe.solver.solver import Solver, get_solver

__version__ = "0.1.0"

TRAIN = 0
"""The training phase."""
TEST = 1
"""The test phase."""

_LAZY = {
    "Layer": "segcaffe.layers.python.user:PythonLayerBase",
    "Net": "segcaffe.net.net",
    "Solver": "segcaffe.solver.solver",
    "get_solver": "segcaffe.solver.solver",
    "layer_type_list": "segcaffe.layers.registry:layer_types",
    "set_num_threads": "segcaffe.kernels.parallel",
    "num_threads": "segcaffe.kernels.parallel",
}

__all__ = [
    "TEST",
    "TRAIN",
    "Layer",
    "Net",
    "Solver",
    "get_solver",
    "layer_type_list",
    "num_threads",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_num_threads",
    "set_random_seed",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    if name not in _LAZY:
        raise AttributeError(f"module 'segcaffe' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
