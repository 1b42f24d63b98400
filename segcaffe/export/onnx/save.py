"""Models as files: one, or two where the weights are too many for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from segcaffe.errors import ExportError, SegcaffeError
from segcaffe.export.onnx.package import onnx_module
from segcaffe.files.disk import replacing, unwritable

MOST_BYTES = 2**31 - 2**20
"""What a file of protobuf can hold, and some room."""
_SMALL = 1024
"""Bytes of initialisers that stay in the model's own file: shapes and their like, which runtimes read first."""


def write(model: Any, path: str | Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write a `ModelProto`; beyond ``most_bytes`` the weights go to a file ``<name>.data`` beside it.

    The files appear when both are complete. Returns their paths; ExportError says why they cannot be written.
    """
    path = Path(path)
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) <= most_bytes:
        with _about(path), replacing(path) as beside:
            beside.write_bytes(model.SerializeToString())
        return [path]
    data_path = path.with_name(f"{path.name}.data")
    # The data has its name before the model that refers to it.
    with _about(path), replacing(path) as beside:
        with _about(data_path), replacing(data_path) as data_beside, data_beside.open("wb") as file:
            _take_out(model, data_path.name, file)
        beside.write_bytes(model.SerializeToString())
    return [data_path, path]


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Make an OSError a sentence about a file."""
    try:
        yield
    except SegcaffeError:
        raise
    except OSError as error:
        raise ExportError(unwritable(path, error)) from error


def _take_out(model: Any, location: str, file: IO[bytes]) -> None:
    """Move large initialisers out of a model into a file; the model then says where in the file they are."""
    onnx = onnx_module()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= _SMALL:
            offset = file.tell()
            file.write(tensor.raw_data)
            onnx.external_data_helper.set_external_data(tensor, location, offset, file.tell() - offset)
            tensor.ClearField("raw_data")
