"""A written module as a program that runs files, for the comparison with the net that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segcaffe.export.proof.described import Described
from segcaffe.export.runtimes.base import Array, Runtime, RuntimeRefusedError, Session
from segcaffe.export.source import Source
from segcaffe.export.torch.module import module_of
from segcaffe.export.torch.writer import Written


class WrittenModule(Runtime):
    """PyTorch, running what has just been written; no file is read, so that nobody's code is run but segcaffe's."""

    name, module = "torch", "torch"
    packages = ("torch",)

    def __init__(self, written: Written) -> None:
        self._written = written

    def open(self, file: Path, blobs: Sequence[str] | None = None) -> Session:
        """Make the module. It has its outputs alone: what lies between, PyTorch does not tell."""
        if blobs is not None:
            raise RuntimeRefusedError("A module gives its outputs alone.")
        import torch

        module, written = module_of(self._written), self._written

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            try:
                with torch.no_grad():
                    result = module(*(torch.from_numpy(np.array(inputs[name])) for name in written.arguments))
            except Exception as error:
                raise self.refused("run the module", error) from error
            outputs = result if isinstance(result, dict) else {written.outputs[0]: result}
            return {name: tensor.numpy() for name, tensor in outputs.items()}

        return run


def describe(source: Source, written: Written) -> Described:
    """The module's arguments, with the sizes that they have in the net, and its outputs."""
    shapes = {name: tuple(source.net.blobs[name].shape) for name in written.arguments}
    return Described(shapes, tuple(name for name in written.outputs if name in source.net.blobs))
