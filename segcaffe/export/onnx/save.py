"""Models as files: one, or two where the weights are too many for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segcaffe.errors import ExportError
from segcaffe.export.onnx.package import onnx_module
from segcaffe.files.disk import together, why_unwritable

MOST_BYTES = 2**31 - 2**20
"""What a file of protobuf can hold, and some room."""
_SMALL = 1024
"""Bytes of initialisers that stay in the model's own file: shapes and their like, which runtimes read first."""


def write(model: Any, path: str | Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write a `ModelProto`; beyond ``most_bytes`` the weights go to a file ``<name>.data`` beside it.

    The files appear when both are complete. Returns their paths; ExportError says why they cannot be written.
    """
    path = Path(path)
    data_path = path.with_name(f"{path.name}.data")
    try:
        with together() as files:
            written = [path]
            if model.ByteSize() > most_bytes:
                files.write(data_path, _take_out(model, data_path.name))
                written.insert(0, data_path)
            files.write(path, model.SerializeToString())
            files.publish(*written)
    except OSError as error:
        raise ExportError(f"{error.filename or path} cannot be written: {why_unwritable(error)}.") from error
    return written


def _take_out(model: Any, location: str) -> bytes:
    """Move large initialisers out of a model, which then says where in the file they are; the file's content."""
    onnx = onnx_module()
    parts, offset = [], 0
    for tensor in model.graph.initializer:
        values = tensor.raw_data
        if len(values) < _SMALL:
            continue
        onnx.external_data_helper.set_external_data(tensor, location, offset, len(values))
        tensor.ClearField("raw_data")
        parts.append(values)
        offset += len(values)
    return b"".join(parts)
