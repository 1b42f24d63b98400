"""What runs in a fused net: layers that are wrapped once all of them have been built."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from segcaffe.blob import Blob
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.graph.graph import Graph
from segcaffe.kernels import channelwise
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Blobs, Layer, LayerMemory, recordable
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.epilogue import Epilogue, EpilogueLayer
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.layers.normalize.bn import BN
from segcaffe.layers.views import planes
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording


class Wrapper(Layer):
    """Base of layers that run another in their own way: blobs, shapes and what the planner knows are the other's.

    ``net.layers`` has the layer itself.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.param, layer.phase, layer.dtype)
        self.layer = layer
        self.blobs, self.saved_blobs, self.state_blobs = layer.blobs, layer.saved_blobs, layer.state_blobs
        self.param_propagate_down = layer.param_propagate_down
        self.half_weights = layer.half_weights

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops as the layer does."""
        self.layer.reshape(bottom, top)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """As the layer says."""
        return self.layer.memory(bottom, top, backward)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """As the layer counts."""
        return self.layer.multiply_adds(bottom, top)

    def running_statistics(self) -> Sequence[Blob]:
        """The layer's."""
        return self.layer.running_statistics()

    def takes_fewer(self, count: int) -> bool:
        """As the layer does."""
        return self.layer.takes_fewer(count)

    def param_spec(self, index: int) -> caffe_pb2.ParamSpec:
        """The layer's."""
        return self.layer.param_spec(index)

    @property
    def public(self) -> Any:
        """The layer itself."""
        return self.layer.public


class Lazy(Wrapper):
    """A layer that runs when its tops are read, which are lazy blobs."""

    replayable = False

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Note that the tops are out of date."""
        for blob in top:
            assert isinstance(blob, LazyBlob)
            blob.defer("data", partial(self._make_tops, bottom, top))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Note that the gradients of lazy bottoms are out of date; those of others are the fused layer's work."""
        for i, blob in enumerate(bottom):
            if propagate_down[i] and isinstance(blob, LazyBlob):
                blob.defer("diff", partial(self._make_gradient, i, top, bottom))

    def _make_tops(self, bottom: Blobs, top: Blobs) -> None:
        for blob in top:
            assert isinstance(blob, LazyBlob)
            blob.settle("data")
        for source in bottom:
            # A layer that shares its bottom's memory does not look at it itself.
            _ = source.array
        self.layer.forward(bottom, top)

    def _make_gradient(self, index: int, top: Blobs, bottom: Blobs) -> None:
        self.layer.backward(top, [i == index for i in range(len(bottom))], bottom)


class Leading(Wrapper):
    """A BatchNorm, BN or Scale that does in one pass what it does and what the layers behind it do to each channel."""

    def __init__(self, layer: BatchNorm | BN | Scale) -> None:
        super().__init__(layer)
        self.layer: BatchNorm | BN | Scale = layer
        self.epilogue = Epilogue()

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the top's final values; the layer's own ones where the others run by themselves."""
        if not self.epilogue.active:
            self.layer.forward(bottom, top)
            return
        factor, shift = self.layer.follow(1.0, 0.0)
        for layer in self.epilogue.affine:
            factor, shift = layer.follow(factor, shift)
        # A batch of numbers has one channel.
        x, y = (planes(blob.array if blob.ndim > 1 else blob.array[:, None]) for blob in (bottom[0], top[0]))
        channels, rows = len(factor), (factor.astype(self.dtype), shift.astype(self.dtype))
        if self.epilogue.relu is None:
            channelwise.affine(x, *rows, y)
            return
        slope = self.xp.zeros(channels, self.dtype)
        slope[...] = self.epilogue.slope(channels)
        channelwise.rectified_affine(x, *rows, slope, y)


class Summing(Wrapper):
    """A convolution that adds another blob to its result and rectifies that, in place of the layers behind it."""

    leaves_due = True
    replayable = False

    def __init__(self, layer: Convolution, addend: Blob, total: Blob, ending: Epilogue) -> None:
        super().__init__(layer)
        self.layer: Convolution = layer
        self.addend, self.total, self.ending = addend, total, ending

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the sum, and leave the top to whoever reads it; or the top alone."""
        (own,) = top
        assert isinstance(own, LazyBlob)
        # Of two shapes the Eltwise makes one, or an error.
        self.ending.active = self.ending.active and self.addend.shape == own.shape
        if not self.ending.active:
            recording.refuse_unless_done()
            own.settle("data")
            self.layer.forward(bottom, top)
            return
        tape = recording.tape()
        if tape is None or not tape.scouting:
            self.total.reshape_like(own)
            own.defer("data", partial(self._make_top, bottom, top, self.layer.epilogue.active))
        self.layer.forward_sum(bottom[0], self.addend, self.total, self.ending.slope(self.layer.num_output))

    def _make_top(self, bottom: Blobs, top: Blobs, active: bool) -> None:
        """Compute what the pass left out, with an epilogue that is as ``active`` as it was then."""
        epilogue = self.layer.epilogue
        now, epilogue.active = epilogue.active, active
        self.layer.forward(bottom, top)
        epilogue.active = now


class Absorbed(Wrapper):
    """A layer that is part of another's epilogue: it has nothing to do where that is active."""

    leaves_due = True

    def __init__(self, layer: Layer, epilogue: Epilogue) -> None:
        super().__init__(layer)
        self.epilogue = epilogue

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the top has its values already."""
        recording.nothing()
        if not self.epilogue.active:
            # Its bottom may be a blob that is computed when it is read.
            recording.refuse_unless_done()
            self.layer.forward(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do either, whatever the layer itself would do."""
        if not self.epilogue.active:
            self.layer.recompute(bottom, top)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Nothing is read, nothing saved."""
        return replace(super().memory(bottom, top, backward), reads_bottoms=False, reads_tops=False, saved=0)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to do: the gradient passes through the epilogue."""
        if not self.epilogue.active:
            self.layer.backward(top, propagate_down, bottom)


def wrap(graph: Graph, blobs: Blobs, layers: list[Layer], wanted: Sequence[Sequence[bool]]) -> None:
    """Wrap in place those of a net's layers that fusion makes lazy, has absorbed, or has compute a sum.

    ``blobs`` are the net's; ``wanted`` says for each layer which of its bottoms' gradients are wanted.
    """
    for i, node in enumerate(graph.nodes):
        if graph.lazy.intersection(node.tops):
            layers[i] = Lazy(layers[i])
    for index, absorbed in graph.absorbed.items():
        leader = layers[index]
        if isinstance(leader, (BatchNorm, BN, Scale)):
            leader = layers[index] = Leading(leader)
        epilogue = _epilogue(leader)
        epilogue.absorb([layers[i] for i in absorbed])
        for i in absorbed:
            layers[i] = Absorbed(layers[i], epilogue)
    for index, added in graph.sums.items():
        layer, ending = layers[index], Epilogue()
        assert isinstance(layer, Convolution)
        ending.absorb([layers[i] for i in added.nodes])
        layers[index] = Summing(layer, blobs[added.addend], blobs[added.total], ending)
        for i in added.nodes:
            layers[i] = Absorbed(layers[i], ending)
    _share_gradients(graph, layers, wanted)


def activate(graph: Graph, layers: Sequence[Layer], first: int, last: int, watched: bool) -> None:
    """Let those epilogues act in the next pass that lie wholly among layers first..last; none where hooks are set."""
    for index, absorbed in graph.absorbed.items():
        _epilogue(layers[index]).active = not watched and first <= index and absorbed[-1] <= last
    for index, added in graph.sums.items():
        leader = layers[index]
        assert isinstance(leader, Summing)
        leader.ending.active = not watched and first <= index and added.nodes[-1] <= last


def _epilogue(leader: Layer) -> Epilogue:
    """The epilogue of a layer that does the work of others."""
    leader = leader.layer if isinstance(leader, Summing) else leader
    assert isinstance(leader, (EpilogueLayer, Leading))
    return leader.epilogue


def _share_gradients(graph: Graph, layers: Sequence[Layer], wanted: Sequence[Sequence[bool]]) -> None:
    """Tell masked convolutions that share an image or a mask which of them overwrites its gradient and who adds."""
    written: set[int] = set()
    for node, layer, flags in reversed(list(zip(graph.nodes, layers, wanted, strict=True))):
        if isinstance(layer, MaskedConvolution):
            layer.adds = [blob in written for blob in node.bottoms]
            written.update(itertools.compress(node.bottoms, flags))
