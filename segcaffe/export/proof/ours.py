"""Our own net as what is compared with: run anew for each input, as a whole or layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from segcaffe.export.proof.compare import Array
from segcaffe.export.proof.described import blob_of
from segcaffe.layers.base import Layer
from segcaffe.net.net import Net

Prepare = Callable[[str, Array], Array]
"""What the exported file does to an input before the net's first layer: of its name and values."""


class Ours:
    """A net that gives the same outputs for the same inputs, whatever ran before.

    Parameters
    ----------
    net:
        In phase TEST, not fused, its blobs in memory of their own.
    outputs:
        Names of the blobs that are compared.
    prepare:
        What the file does to inputs, which this net has to be given.
    """

    def __init__(self, net: Net, outputs: Sequence[str], prepare: Prepare | None = None) -> None:
        self.net, self.outputs = net, tuple(outputs)
        self.before: list[Array] = []
        self._prepare = prepare

    def multiply_adds(self) -> int:
        """Multiply-adds of a pass, with the inputs' present shapes."""
        net = self.net
        layers = zip(net.layer_list, net.bottom_blobs, net.top_blobs, strict=True)
        return sum(layer.multiply_adds(bottom, top) for layer, bottom, top in layers)

    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Give the inputs shapes, and carry these through the net; raises what layers say to it."""
        for name, shape in shapes.items():
            self.net.blobs[name].reshape(*shape)
        self.net.reshape()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run all layers; copies of the outputs."""
        self.start(inputs)
        self.net.forward()
        return self.found()

    def start(self, inputs: Mapping[str, Array]) -> None:
        """Put the inputs in, and have layers forget what they remember of earlier passes."""
        self.resize({name: values.shape for name, values in inputs.items()})
        for name, values in inputs.items():
            self.net.blobs[name].data[...] = self._prepare(name, values) if self._prepare else values
        for layer in self.net.layer_list:
            _forget(layer)

    def step(self, layer: int) -> None:
        """Run one layer on what its bottoms have now, of which copies are kept in ``before``."""
        self.before = [np.array(blob.data) for blob in self.net.bottom_blobs[layer]]
        self._run(layer)

    def found(self) -> dict[str, Array]:
        """Copies of the outputs as they are now."""
        return {
            name: self.net.blobs[blob_of(name, self.net.blobs, self.net.inputs)].data.copy() for name in self.outputs
        }

    def value(self, layer: int, top: int) -> Array:
        """The values of a layer's top now; not a copy."""
        return self.net.top_blobs[layer][top].data

    def put(self, layer: int, top: int, values: Array) -> None:
        """Put values into a layer's top, for the layers behind it."""
        blob = self.net.top_blobs[layer][top]
        blob.reshape(*values.shape)
        blob.data[...] = values

    def again(self, layer: int, bottoms: Iterable[Array]) -> list[Array]:
        """Run a layer on other values of its bottoms; copies of its tops."""
        for blob, values in zip(self.net.bottom_blobs[layer], bottoms, strict=True):
            blob.data[...] = values
        _forget(self.net.layer_list[layer])
        self._run(layer)
        return [np.array(blob.data) for blob in self.net.top_blobs[layer]]

    def _run(self, layer: int) -> None:
        self.net.forward_from_to(layer, layer)


def _forget(layer: Layer) -> None:
    """Have a layer with a memory begin anew."""
    reset = getattr(layer, "reset", None)
    if callable(reset):
        reset()
