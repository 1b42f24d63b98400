"""The module that a written net makes, with the net's weights."""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any

import numpy as np

from segcaffe.errors import ExportError
from segcaffe.export.torch.writer import Written, write
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray[Any, Any]


def state_of(written: Written) -> dict[str, Array]:
    """The net's weights as the written module's state has them: by key, in order."""
    return {entry.key: entry.held.take(entry.layer) for entry in written.entries}


def to_module(net: Net) -> nn.Module:
    """Return the net as a PyTorch module with the net's weights, training where the net is in phase TRAIN.

    The module is made of the source that `segcaffe export NET OUT.py` writes, and nothing else. ExportError where a
    layer has no counterpart, or where PyTorch is not installed.
    """
    return module_of(write(net), net.phase == caffe_pb2.TRAIN)


def module_of(written: Written, training: bool = False) -> nn.Module:
    """Run a module's source and load the weights into the module."""
    try:
        import torch
    except ImportError as error:
        raise ExportError("PyTorch is not installed: pip install torch.") from error
    name = f"<{written.class_name}, written by segcaffe>"
    # Where tracebacks and inspect look for the lines.
    linecache.cache[name] = len(written.source), None, written.source.splitlines(keepends=True), name
    namespace: dict[str, Any] = {"__name__": f"segcaffe.written.{written.class_name}"}
    exec(compile(written.source, name, "exec"), namespace)
    module: nn.Module = namespace[written.class_name]()
    state = {key: torch.from_numpy(np.array(values)) for key, values in state_of(written).items()}
    if any(values.dtype == torch.float64 for values in state.values()):
        module.double()
    module.load_state_dict(state)
    return module.train(training)
