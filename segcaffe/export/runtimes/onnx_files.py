"""Programs that read ONNX files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.export.runtimes.base import Array, Runtime, RuntimeRefusedError, Session
from segcaffe.export.runtimes.part_of_graph import with_outputs


class OnnxRuntimeBase(Runtime):
    """A program that reads ONNX files; for blobs that are no outputs it gets a copy of the file that ends in them."""

    def open(self, file: Path, blobs: Sequence[str] | None = None) -> Session:
        """Read a file, or a part of it."""
        self.require()
        try:
            if blobs is None:
                return self._guarded(self._read(file))
            with with_outputs(file, blobs) as part:
                return self._guarded(self._read(part), blobs)
        except Exception as error:
            raise self.refused(f"read {file}", error) from error

    @abstractmethod
    def _read(self, file: Path | bytes) -> Session:
        """Read a file, or its content; may raise whatever the program does."""

    def _guarded(self, session: Session, blobs: Sequence[str] = ()) -> Session:
        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            try:
                found = session(inputs)
            except Exception as error:
                raise self.refused("run the file", error) from error
            if missing := [name for name in blobs if name not in found]:
                raise RuntimeRefusedError(f"{self.title()} does not give the blobs {', '.join(missing)}.")
            return found

        return run


class OnnxRuntime(OnnxRuntimeBase):
    """ONNX Runtime, on the CPU."""

    name, module = "onnxruntime", "onnxruntime"
    packages = ("onnxruntime", "onnxruntime-gpu")

    def _read(self, file: Path | bytes) -> Session:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


class OpenCV(OnnxRuntimeBase):
    """OpenCV's dnn module, 4 or 5."""

    name, module = "opencv", "cv2"
    packages = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")

    @classmethod
    def version(cls) -> str:
        """The version of the module, which several packages bring."""
        import cv2

        return str(cv2.__version__)

    def _read(self, file: Path | bytes) -> Session:
        import cv2

        # What it writes to the terminal is part of the error that it raises.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(file, np.uint8) if isinstance(file, bytes) else str(file))
        finally:
            cv2.utils.logging.setLogLevel(level)
        names = list(net.getUnconnectedOutLayersNames())

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            for name, values in inputs.items():
                net.setInput(values, name)
            # Copies: the next run overwrites what it gives.
            return {name: np.array(values) for name, values in zip(names, net.forward(names), strict=True)}

        return run


class OpenVINO(OnnxRuntimeBase):
    """OpenVINO, on the CPU, in float32."""

    name, module = "openvino", "openvino"
    packages = ("openvino",)

    def _read(self, file: Path | bytes) -> Session:
        import openvino

        core = openvino.Core()
        compiled: Any = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        by_name = {name: i for i, port in enumerate(compiled.outputs) for name in port.get_names()}

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            results = compiled(dict(inputs))
            return {name: np.array(results[compiled.outputs[i]]) for name, i in by_name.items()}

        return run
