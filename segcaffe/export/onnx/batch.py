"""Which axes of which blobs grow with the batch, found by giving the net another one; and which are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segcaffe.errors import SegcaffeError
from segcaffe.export.onnx.open_axes import Open, open_axes
from segcaffe.net.net import Net

_FURTHER = 6
"""So much larger is the batch that the net is tried with."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """How blobs depend on the batch.

    Attributes
    ----------
    size:
        The batch that the net has.
    grows:
        For each blob, by index, the axes whose extent is a multiple of the batch.
    why_fixed:
        A sentence on what holds the net to the batch that it has; empty if nothing does.
    open:
        For each blob the axes whose extent shows only when the net runs, and their symbols.
    """

    size: int
    grows: tuple[frozenset[int], ...]
    why_fixed: str = ""
    open: tuple[Open, ...] = ()

    @classmethod
    def fixed(cls, net: Net, why: str = "") -> Batch:
        """The batch of a net, where it is to stay."""
        return cls(_size(net), (frozenset(),) * len(net.blob_list), why, open_axes(net))

    def dimension(self, blob: int, axis: int, extent: int) -> int | str:
        """An axis's extent as ONNX has it: a number, or a symbol."""
        if axis in self.open[blob]:
            return self.open[blob][axis]
        if axis not in self.grows[blob]:
            return extent
        times = extent // self.size
        return "batch" if times == 1 else f"{times}*batch"


def measure(net: Net) -> Batch:
    """Find out how a net's blobs depend on the batch: the first axis of the inputs that have the first input's."""
    size = _size(net)
    inputs = [net.blobs[name] for name in net.inputs if net.blobs[name].shape[:1] == (size,)]
    if not size or not inputs:
        return Batch.fixed(net, "the net has no inputs with a batch.")
    before, why = _shapes(net), ""
    try:
        for blob in inputs:
            blob.reshape(size + _FURTHER, *blob.shape[1:])
        net.reshape()
        after = _shapes(net)
    except SegcaffeError as error:
        why = f"with another batch the net cannot be built: {error}"
    finally:
        for blob in inputs:
            blob.reshape(size, *blob.shape[1:])
        net.reshape()
    if why:
        return Batch.fixed(net, why)
    grows = [_growing(old, new, size) for old, new in zip(before, after, strict=True)]
    for name, found in zip(net.graph.blob_names, grows, strict=True):
        if found is None:
            return Batch.fixed(net, f'the shape of blob "{name}" is no multiple of the batch.')
    return Batch(size, tuple(found or frozenset() for found in grows), open=open_axes(net))


def _size(net: Net) -> int:
    shapes = [net.blobs[name].shape for name in net.inputs if net.blobs[name].shape]
    return shapes[0][0] if shapes else 0


def _shapes(net: Net) -> list[Shape]:
    return [blob.shape for blob in net.blob_list]


def _growing(old: Sequence[int], new: Sequence[int], size: int) -> frozenset[int] | None:
    """The axes that grow as the batch does; None where the shape changes in another way."""
    if len(old) != len(new):
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    if any(old[axis] * (size + _FURTHER) != new[axis] * size for axis in changed):
        return None
    return frozenset(changed)
