"""What a net tells of itself: its layers, their shapes, what they cost."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from segcaffe.dnn.costs import Shape, flops
from segcaffe.dnn.detections import rows
from segcaffe.dnn.engine import Engine
from segcaffe.dnn.entries import INPUT, Entry
from segcaffe.dnn.errors import DnnError, as_dnn_error, unknown
from segcaffe.text.words import counted

Array = np.ndarray[Any, Any]
Shapes = tuple[tuple[Shape, ...], tuple[Shape, ...]]
"""Of a layer's bottoms, and of its tops."""


class Inspection:
    """Members of `segcaffe.dnn.net.Net` that only look."""

    _list: list[Entry]
    _names: Mapping[str, str]

    empty: Callable[[], bool]

    @abstractmethod
    def _engine(self) -> Engine:
        """The net that runs."""

    # Names and numbers.

    def getLayerNames(self) -> tuple[str, ...]:
        """Names of the layers in order; number 0, the net's input, is not among them."""
        return tuple(entry.name for entry in self._entries()[1:])

    def getLayerId(self, layer: str) -> int:
        """The number of a layer, or -1. Names of the prototxt that OpenCV gives up are known, too."""
        found = self._entries()
        for of in ("name", "written"):
            for number, entry in enumerate(found):
                if getattr(entry, of) == layer:
                    return number
        return -1

    def getUnconnectedOutLayers(self) -> Array:
        """Numbers of the layers whose tops no other layer reads."""
        return np.array([number for number, entry in enumerate(self._entries()) if not entry.read], np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        """Names of the layers whose tops no other layer reads."""
        return tuple(entry.name for entry in self._entries() if not entry.read)

    def getLayerTypes(self) -> tuple[str, ...]:
        """The types that there are, sorted."""
        return tuple(sorted({entry.type for entry in self._entries()}))

    def getLayersCount(self, layerType: str) -> int:
        """How many layers have a type."""
        return sum(entry.type == layerType for entry in self._entries())

    def _entries(self) -> list[Entry]:
        if not self.empty():
            self._engine()
        return self._list

    def _entry(self, layer: int | str) -> Entry:
        """A layer by name or number; DnnError where there is none."""
        found = self._entries()
        number = self.getLayerId(layer) if isinstance(layer, str) else int(layer)
        if not 0 <= number < len(found):
            if isinstance(layer, str):
                raise unknown("layer", layer, [entry.name for entry in found])
            raise DnnError(f"The net has {counted(len(found), 'layer')}, from number 0 on. Received: {number}.")
        return found[number]

    # Shapes and costs.

    def getLayersShapes(self, netInputShapes: Any) -> tuple[Array, tuple[Any, ...], tuple[Any, ...]]:
        """Numbers of all layers, the shapes of what they read, and those of what they make.

        ``netInputShapes`` is a shape for each input, or the shape of the only one.
        """
        shapes = self._shapes_for(netInputShapes)
        bottoms, tops = (tuple(tuple(np.array(shape, np.int32) for shape in layer[side]) for layer in shapes)
                         for side in (0, 1))  # fmt: skip
        return np.arange(len(shapes), dtype=np.int32), bottoms, tops

    def getFLOPS(self, *args: Any, layerId: int | None = None, netInputShapes: Any = None) -> int:
        """Operations of the net, or of the layer ``layerId``, for inputs of these shapes: ``([layerId,] shapes)``."""
        layer, shapes = self._asked(args, layerId, netInputShapes)
        engine = self._engine()
        return sum(
            flops(engine.layer_list[entry.node], *of)
            for entry, of in self._chosen(layer, shapes)
            if entry.name != INPUT
        )

    def getMemoryConsumption(
        self, *args: Any, layerId: int | None = None, netInputShapes: Any = None
    ) -> tuple[int, int]:
        """Bytes of the weights, and of what the layers make, of the net or of one layer: ``([layerId,] shapes)``."""
        layer, shapes = self._asked(args, layerId, netInputShapes)
        engine = self._engine()
        weights = made = 0
        for entry, (_, tops) in self._chosen(layer, shapes):
            weights += 0 if entry.node < 0 else sum(blob.nbytes for blob in engine.layer_list[entry.node].blobs)
            made += sum(4 * math.prod(shape) for shape in tops)
        return weights, made

    def _asked(self, args: tuple[Any, ...], layer: int | None, shapes: Any) -> tuple[int | None, Any]:
        """The layer, if one is asked for, and the shapes."""
        if len(args) == 2:
            return args[0], args[1]
        return layer, args[0] if args else shapes

    def _chosen(self, layer: int | None, given: Any) -> list[tuple[Entry, Shapes]]:
        pairs = list(zip(self._entries(), self._shapes_for(given), strict=True))
        return pairs if layer is None else [pairs[self._entries().index(self._entry(layer))]]

    def _shapes_for(self, given: Any) -> list[Shapes]:
        """Shapes of the layers, in order, for inputs of the shapes that are given."""
        if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
            raise DnnError(f"A shape is a list of whole numbers, as [1, 3, 224, 224]. Received: {given!r}.")
        nested = bool(len(given)) and not isinstance(given[0], (int, np.integer))
        shapes = [tuple(map(int, shape)) for shape in (given if nested else [given])]
        if len(shapes) != len(self._names):
            raise DnnError(
                f"A shape is needed for each input: {', '.join(self._names)}. "
                f"Received: {counted(len(shapes), 'shape')}."
            )
        engine = self._engine()
        with as_dnn_error():
            engine.reshape_inputs(dict(zip(self._names.values(), shapes, strict=True)))
            engine.reshape()
        blobs = engine.blob_list
        found = []
        for entry in self._entries():
            bottoms, tops = (tuple(blobs[i].shape for i in of) for of in (entry.bottoms or entry.tops, entry.tops))
            if entry.type == "DetectionOutput":
                param = engine.layer_list[entry.node].param.detection_output_param
                tops = ((1, 1, rows(param.keep_top_k, bottoms[0][0], 1), 7),)
            found.append((bottoms, tops))
        return found

    def dump(self) -> str:
        """The net as a graph in the language of Graphviz."""
        lines = ["digraph G {"]
        maker = dict.fromkeys(self._entries()[0].tops, INPUT)
        arrows = []
        for entry in self._entries()[1:]:
            shape = " x ".join(map(str, self._engine().blob_list[entry.tops[0]].shape))
            lines.append(f'\t"{entry.name}" [label="{entry.name}\\n{entry.type}\\noutput: {shape}" shape=box]')
            arrows += [f'\t"{maker[blob]}" -> "{entry.name}"' for blob in entry.bottoms if blob in maker]
            maker.update(dict.fromkeys(entry.tops, entry.name))
        return "\n".join([*lines, "", *arrows, "}"])
