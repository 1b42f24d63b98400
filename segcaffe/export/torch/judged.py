"""A written module as a program that runs files, for the comparison with the net that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segcaffe.convert import safetensors
from segcaffe.errors import ExportError
from segcaffe.export.proof.described import Described
from segcaffe.export.runtimes.base import Array, Runtime, Session
from segcaffe.export.source import Source
from segcaffe.export.torch.module import module_of
from segcaffe.export.torch.save import write_source
from segcaffe.export.torch.writer import Written, write
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_file
from segcaffe.net.net import Net


class WrittenModule(Runtime):
    """PyTorch, running what has just been written; no file is read, so that nobody's code is run but segcaffe's."""

    name, module = "torch", "torch"
    packages = ("torch",)

    def __init__(self, net: Net, written: Written, state: Mapping[str, Array] | None = None) -> None:
        self._net, self.written, self._state = net, written, state

    def open(self, file: Path, blobs: Sequence[str] | None = None) -> Session:
        """Make the module; where blobs are asked for, one that returns these, too."""
        import torch

        written = self.written if blobs is None else write(self._net, also=blobs)
        module = module_of(written)
        if self._state is not None:
            try:
                module.load_state_dict({key: torch.from_numpy(np.array(values)) for key, values in self._state.items()})
            except Exception as error:
                raise self.refused("take the weights", error) from error

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            try:
                with torch.no_grad():
                    result = module(*(torch.from_numpy(np.array(inputs[name])) for name in written.arguments))
            except Exception as error:
                raise self.refused("run the module", error) from error
            outputs = result if isinstance(result, dict) else {written.outputs[0]: result}
            return {name: tensor.numpy() for name, tensor in outputs.items()}

        return run


def saved(source: Source, file: Path) -> WrittenModule:
    """The module that lies in a file, with the weights beside it.

    The file's code is not run: it must be what `segcaffe export` writes of the net. Raises ExportError if it is not.
    """
    beside = file.with_suffix(".safetensors")
    if not is_file(beside):
        raise ExportError(f"{file} has no weights beside it: {beside} does not exist.")
    written = write_source(source, beside.name)
    if read_bytes(file).decode("utf-8", "replace") != written.source:
        raise ExportError(
            f"{file} is not what segcaffe export writes of NET today: it was edited, written with --until, --shape or "
            "--batch, or by another release. It is not run, since that could be anybody's code. Export NET again: that "
            "compares, too."
        )
    state, _ = safetensors.decode(read_bytes(beside), str(beside))
    return WrittenModule(source.net, written, state)


def describe(net: Net, written: Written) -> Described:
    """The module's arguments, with the sizes that they have in the net, its outputs, and what else it can return."""
    shapes = {name: tuple(net.blobs[name].shape) for name in written.arguments}
    outputs = tuple(name for name in written.outputs if name in net.blobs)
    return Described(shapes, outputs, frozenset(net.graph.blob_names) - written.hidden)
