"""Programs that run exported files: `runtime` gives one by its name. Each is imported when it opens its first file."""

from __future__ import annotations

from segcaffe.export.runtimes.base import Runtime
from segcaffe.export.runtimes.onnx_files import OnnxRuntime, OpenCV, OpenVINO

RUNTIMES: dict[str, type[Runtime]] = {cls.name: cls for cls in (OnnxRuntime, OpenCV, OpenVINO)}
"""By name; the first is what checks use unless told otherwise."""


def runtime(name: str) -> Runtime:
    """The program of that name; RuntimeMissingError unless it is installed."""
    found = RUNTIMES[name]()
    found.require()
    return found
