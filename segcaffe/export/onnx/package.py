"""The package onnx, which only exports need."""

from __future__ import annotations

from types import ModuleType

from segcaffe.errors import ExportError

OLDEST_OPSET, DEFAULT_OPSET = 11, 17
DEFAULT_IR = 8
"""The file format's version that goes with opset 17; newer opsets take the first that knows them."""


def onnx_module() -> ModuleType:
    """The package onnx; ExportError saying how to get it."""
    try:
        import onnx
        import onnx.defs
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ExportError("ONNX files need the package onnx. Install it: pip install onnx onnxruntime.") from error
    module: ModuleType = onnx
    return module


def newest_opset() -> int:
    """The newest opset that the installed package knows."""
    return int(onnx_module().defs.onnx_opset_version())


def check_opset(opset: int) -> int:
    """Return the opset; ExportError unless it can be written."""
    newest = newest_opset()
    if not OLDEST_OPSET <= opset <= newest:
        raise ExportError(
            f"opset must be {OLDEST_OPSET} to {newest}, the newest that the installed onnx "
            f"{onnx_module().__version__} knows. Received: {opset}."
        )
    return opset
