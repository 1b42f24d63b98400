"""What pycaffe's Net has beyond running forward and backward: lists and mappings, batches, hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.blob.member import member
from segcaffe.blob.vectors import BlobVec, DtypeVec, IntVec, LayerVec, StringVec
from segcaffe.errors import DataError, GraphError, unknown_name
from segcaffe.layers.base import Layer
from segcaffe.net.named import Named
from segcaffe.net.parts import Parts
from segcaffe.net.weights import WeightsMembers
from segcaffe.wiring import upcalls

Array = np.ndarray[Any, Any]
Hook = Callable[[int], None]


class PycaffeMembers(WeightsMembers):
    """What pycaffe shows of a net, made of its parts; `Net` inherits it and runs them."""

    blobs: Named[Blob] = member("The blobs by name.")
    params: Named[BlobVec] = member("For each layer that has any its parameters.")
    layers: LayerVec = member("The layers in execution order; of a Python layer the user's object.")
    inputs: list[str] = member("Names of the blobs that are fed from outside.")
    outputs: list[str] = member("Names of the blobs that no layer reads.")
    _blobs: BlobVec = member("The blobs by index.")

    forward: Callable[..., dict[str, Array]]
    backward: Callable[..., dict[str, Array]]
    forward_from_to: Callable[[int, int], float]
    backward_from_to: Callable[..., None]

    def __init__(self, parts: Parts) -> None:
        graph, steps = parts.graph, parts.steps
        self._parts, self.graph = parts, graph
        self.name, self.phase, self.dtype = graph.name, parts.phase, parts.dtype
        self._blobs = parts.blobs
        self.blobs = Named.of("blob", zip(graph.blob_names, parts.blobs, strict=True))
        self.layer_names = [node.name for node in graph.nodes]
        self.layer_list: list[Layer] = [step.layer for step in steps]
        self.layers = LayerVec(layer.public for layer in self.layer_list)
        self.bottom_blobs = [step.bottom for step in steps]
        self.top_blobs = [step.top for step in steps]
        self.loss_weights = [step.loss_weights for step in steps]
        self.layer_needs_backward = [step.needs_backward for step in steps]
        self.bottom_needs_backward = [step.bottom_needs_backward for step in steps]
        own = ((layer.name, layer.blobs) for layer in self.layer_list if layer.blobs)
        self.params = Named.of("layer with parameters", own)
        self.inputs = [graph.blob_names[i] for i in graph.inputs]
        self.outputs = [graph.blob_names[i] for i in graph.outputs]
        owners = parts.params.owners
        self.learnable_params = [owner.blob for owner in owners]
        self.params_lr = [1.0 if owner.lr_mult is None else owner.lr_mult for owner in owners]
        self.params_weight_decay = [1.0 if owner.decay_mult is None else owner.decay_mult for owner in owners]
        self._loaded: set[str] = set()
        self._before_forward: list[Hook] = []
        self._after_forward: list[Hook] = []
        self._before_backward: list[Hook] = []
        self._after_backward: list[Hook] = []

    @property
    def blob_list(self) -> list[Blob]:
        """The blobs by index, as the graph numbers them."""
        return self._blobs

    # Names.

    @property
    def layer_dict(self) -> Named[Any]:
        """The layers by name; of a Python layer the user's object."""
        return Named.of("layer", zip(self._layer_names, self.layers, strict=True))

    @property
    def blob_loss_weights(self) -> Named[float]:
        """For each blob the weight with which it enters the loss."""
        weights = Named.of("blob", ((name, 0.0) for name in self.graph.blob_names))
        for node, values in zip(self.graph.nodes, self.loss_weights, strict=True):
            for blob, weight in zip(node.tops, values, strict=True):
                weights[self.graph.blob_names[blob]] = weight
        return weights

    @property
    def bottom_names(self) -> Named[list[str]]:
        """For each layer the names of its bottoms."""
        names = self.graph.blob_names
        return Named.of("layer", ((node.name, [names[i] for i in node.bottoms]) for node in self.graph.nodes))

    @property
    def top_names(self) -> Named[list[str]]:
        """For each layer the names of its tops."""
        names = self.graph.blob_names
        return Named.of("layer", ((node.name, [names[i] for i in node.tops]) for node in self.graph.nodes))

    # To be looked at.

    def summary(self) -> str:
        """Return a table of the layers, with totals and the memory they take, as `segcaffe net` prints it."""
        return upcalls.net_table(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of the net: a table of its layers, and its graph."""
        return upcalls.net_as_html(self)

    # Batches.

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Any) -> dict[str, Array]:
        """Run any number of items through the net, a batch at a time; the last batch is filled up with zeros.

        Parameters
        ----------
        blobs:
            Names of blobs to return besides the outputs.
        kwargs:
            For each input an array (or a list of arrays) whose first axis counts the items.

        Returns
        -------
        dict
            For each output an array with one entry per item.
        """
        wanted = list(blobs or ())
        collected: dict[str, list[Array]] = {}
        for batch in self._batch(kwargs):
            _collect(collected, self.forward(blobs=wanted, **batch))
        return _joined(collected, _count(kwargs))

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for blob in self.learnable_params:
            # What has not been read yet is zero, and takes no memory.
            if not blob.buffer("diff").untouched:
                blob.grad[...] = 0

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **kwargs: Any
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run any number of items forward and backward, a batch at a time.

        Parameters
        ----------
        blobs, diffs:
            Names of blobs whose values, and whose gradients, to return besides the outputs' and the inputs'.
        kwargs:
            For inputs their values and for outputs their gradients, the first axis counting the items. Without any
            inputs the net's own data, without any gradients those of its losses are used.

        Returns
        -------
        tuple
            Values by name, gradients by name, with one entry per item.
        """
        names, gradients = list(blobs or ()), list(diffs or ())
        values: dict[str, list[Array]] = {}
        grads: dict[str, list[Array]] = {}
        forward = self._batch({name: kwargs[name] for name in self.inputs if name in kwargs})
        backward = self._batch({name: kwargs[name] for name in self.outputs if name in kwargs})
        nothing: dict[str, Array] = {}
        for inputs, tops in zip_longest(forward, backward, fillvalue=nothing):
            _collect(values, self.forward(blobs=names, **inputs))
            _collect(grads, self.backward(diffs=gradients, **tops))
        return _joined(values, _count(kwargs)), _joined(grads, _count(kwargs))

    def _batch(self, blobs: Mapping[str, Any]) -> Iterator[dict[str, Array]]:
        """Cut arrays into batches of the size of the net's first blob, the last one filled up with zeros."""
        if not blobs:
            return
        size = next(iter(self.blobs.values())).shape[0]
        if size < 1:
            raise DataError(
                "The net's batches are of no items. Reshape its inputs, or write a batch size of 1 or more."
            )
        arrays = {name: np.asarray(values) for name, values in blobs.items()}
        if len({len(values) for values in arrays.values()}) != 1:
            counts = {name: len(values) for name, values in arrays.items()}
            raise DataError(f"All arrays need the same number of items (their first axis). Received: {counts}.")
        for start in range(0, len(next(iter(arrays.values()))), size):
            yield {name: _padded(values[start : start + size], size) for name, values in arrays.items()}

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Set what the net's MemoryData layer, its first layer, gives: data (n, C, H, W) and n labels."""
        first = self.layer_list[0]
        if first.type != "MemoryData":
            raise GraphError(f"set_input_arrays: the net's first layer must be a MemoryData. Received: {first.where}.")
        first.set_input_arrays(data, labels)  # type: ignore[attr-defined]

    # Hooks.

    def before_forward(self, hook: Hook) -> None:
        """Have a function called with the index of each layer before it runs forward."""
        self._before_forward.append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Have a function called with the index of each layer after it ran forward."""
        self._after_forward.append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Have a function called with the index of each layer before it runs backward."""
        self._before_backward.append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Have a function called with the index of each layer after it ran backward."""
        self._after_backward.append(hook)

    # Names with an underscore that scripts came to rely on.

    @property
    def _layer_names(self) -> StringVec:
        return StringVec(node.name for node in self.graph.nodes)

    @property
    def _blob_names(self) -> StringVec:
        return StringVec(self.graph.blob_names)

    @property
    def _blob_loss_weights(self) -> DtypeVec:
        return DtypeVec(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> IntVec:
        return IntVec(self.graph.inputs)

    @property
    def _outputs(self) -> IntVec:
        return IntVec(self.graph.outputs)

    def _index(self, layer: str) -> int:
        if layer not in self.layer_names:
            raise unknown_name("layer", layer, self.layer_names)
        return self.layer_names.index(layer)

    def _bottom_ids(self, layer: int) -> IntVec:
        return IntVec(self.graph.nodes[layer].bottoms)

    def _top_ids(self, layer: int) -> IntVec:
        return IntVec(self.graph.nodes[layer].tops)

    def _set_input_arrays(self, data: Array, labels: Array) -> None:
        self.set_input_arrays(data, labels)

    def _forward(self, start: int, end: int) -> float:
        return self.forward_from_to(start, end)

    def _backward(self, start: int, end: int) -> None:
        self.backward_from_to(start, end)


def _count(arrays: Mapping[str, Any]) -> int | None:
    """Number of items; None where no arrays are given and each pass counts as it comes."""
    return len(next(iter(arrays.values()))) if arrays else None


def _padded(values: Array, size: int) -> Array:
    if len(values) == size:
        return values
    return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])


def _collect(collected: dict[str, list[Array]], batch: Mapping[str, Array]) -> None:
    """Keep copies: the arrays are the blobs' own memory, which the next batch overwrites."""
    for name, values in batch.items():
        collected.setdefault(name, []).append(np.array(np.atleast_1d(values)))


def _joined(collected: Mapping[str, list[Array]], count: int | None) -> dict[str, Array]:
    return {name: np.concatenate(parts)[:count] for name, parts in collected.items()}
