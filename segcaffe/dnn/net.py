"""`Net`: what ``readNetFromCaffe`` gives, with the members of ``cv2.dnn.Net``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from segcaffe.dnn import definition
from segcaffe.dnn.detections import fill_up
from segcaffe.dnn.engine import Engine
from segcaffe.dnn.entries import Entry, entries
from segcaffe.dnn.errors import DnnError, NotBuiltError, as_dnn_error, unknown
from segcaffe.dnn.inspection import Inspection
from segcaffe.dnn.layer import Layer, as_opencv
from segcaffe.errors import ShapeError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.placed import PlacedNet

Array = np.ndarray[Any, Any]
_NOT_BUILT = {
    "quantize": "nets are computed in float32; export the net to ONNX for a runtime that quantizes",
    "forwardAsync": "call forward in a thread of your own",
    "addLayer": "a net comes from its prototxt: add the layer there",
    "addLayerToPrev": "a net comes from its prototxt: add the layer there",
    "connect": "a net comes from its prototxt: connect the layers there",
    "registerOutput": "ask forward for the layer by its name",
    "setHalideScheduler": "there is no such backend",
    "dumpToPbtxt": "`segcaffe upgrade net` writes the net's prototxt",
}


class Net(Inspection):
    """A net of Caffe with the interface of ``cv2.dnn.Net``, run by `segcaffe.Net`.

    ``Net()`` is empty, as OpenCV's is. Layers are called as in OpenCV 4.14 (see `segcaffe.dnn.entries`); the names of
    the prototxt are understood, too. Where segcaffe's mode is the GPU, nets run there; backends and targets are
    accepted and change nothing.
    """

    def __init__(self, net: PlacedNet | None = None, weights: NetParameter | None = None, where: str = "") -> None:
        self._net = definition.included(net) if net is not None else None
        self._weights, self._where = weights, where
        self._shapes = definition.input_shapes(self._net) if self._net is not None else {}
        self._names = {name: name for name in self._shapes}
        self._given: dict[str, Array] = {}
        self._fuse = True
        self._built: Engine | None = None
        self._list: list[Entry] = []
        if self._net is not None and all(self._shapes.values()):
            # A net may state shapes that it can't be run with, and be given others: 1x1 for "whatever comes".
            with suppress(ShapeError):
                self._build()

    # Input.

    def setInput(self, blob: Any, name: str = "", scalefactor: float = 1.0, mean: Any = ()) -> None:
        """Set an input, the first unless its name is given, to ``scalefactor * (blob - mean)``; of any shape.

        ``mean`` has a value for each channel, up to four.
        """
        if name and name not in self._names:
            raise unknown("input", name, list(self._names))
        if not self._names:
            raise DnnError("setInput: the net has no inputs.")
        values = _floats(blob)
        if scalefactor != 1.0 or np.any(np.asarray(mean)):
            values = (values - _of_channels(mean, values)) * np.float32(scalefactor)
        # A copy: the caller may write over the array before the net runs.
        self._given[self._names[name] if name else next(iter(self._names.values()))] = np.array(values, np.float32)

    def setInputsNames(self, inputBlobNames: Sequence[str]) -> None:
        """Give the inputs other names, in order."""
        if len(inputBlobNames) != len(self._names):
            raise DnnError(
                f"setInputsNames takes a name for each input: {', '.join(self._names)}. "
                f"Received: {', '.join(inputBlobNames)}."
            )
        self._names = dict(zip(inputBlobNames, self._shapes, strict=True))

    def setInputShape(self, inputName: str, shape: Sequence[int]) -> None:
        """Say what shape an input has, before it is set."""
        if inputName not in self._names:
            raise unknown("input", inputName, list(self._names))
        self._shapes[self._names[inputName]] = tuple(int(extent) for extent in shape)

    # Running.

    def forward(self, outputName: Any = None, outputBlobs: Any = None, *, outBlobNames: Any = None) -> Any:
        """Run the net up to a layer, the last unless its name is given, and return that layer's first top.

        For a list of names run it up to the last of them and return a tuple. Results are copies of at least two axes.
        A layer's result is its own, also where layers in place follow.
        """
        wanted = outBlobNames if outBlobNames is not None else outputName
        if not (wanted is None or isinstance(wanted, str) or np.iterable(wanted)):
            raise DnnError(f"forward takes the name of a layer, or a list of names. Received: {wanted!r}.")
        if wanted is None or isinstance(wanted, str) or not _are_names(wanted):
            return self._run([self._entry(wanted) if isinstance(wanted, str) and wanted else self._last()])[0][0]
        found = [self._entry(name) for name in wanted] or [self._last()]
        return tuple(tops[0] for tops in self._run(found))

    def forwardAndRetrieve(self, outBlobNames: Sequence[str]) -> tuple[tuple[Array, ...], ...]:
        """Run the net and return for each layer all its tops."""
        return tuple(self._run([self._entry(name) for name in outBlobNames]))

    def _run(self, wanted: Sequence[Entry]) -> list[tuple[Array, ...]]:
        """Run up to each of the layers in turn, so that a blob is read before a layer in place writes over it."""
        missing = [name for name, key in self._names.items() if key not in self._given]
        if missing:
            raise DnnError(f"forward: no values for the input {', '.join(missing)}. Call setInput first.")
        engine = self._engine()
        found: dict[int, tuple[Array, ...]] = {}
        with as_dnn_error():
            engine.check_weights(max((entry.node for entry in wanted), default=-1))
            engine.reshape_inputs({name: values.shape for name, values in self._given.items()})
            for name, values in self._given.items():
                engine.blobs[name].data[...] = values
            engine.start_clock()
            done = -1
            for number in sorted({self._list.index(entry) for entry in wanted}):
                entry = self._list[number]
                if entry.node > done:
                    engine.forward_from_to(done + 1, entry.node)
                    done = entry.node
                found[number] = self._tops(engine, entry)
        return [found[self._list.index(entry)] for entry in wanted]

    def _tops(self, engine: Engine, entry: Entry) -> tuple[Array, ...]:
        arrays = [as_opencv(engine.blob_list[i].data) for i in entry.tops]
        if entry.type == "DetectionOutput":
            images = engine.blob_list[entry.bottoms[0]].shape[0]
            keep = engine.layer_list[entry.node].param.detection_output_param.keep_top_k
            arrays[0] = fill_up(arrays[0], keep, images)
        return tuple(arrays)

    def getPerfProfile(self) -> tuple[int, Array]:
        """Ticks of ``cv2.getTickFrequency()`` that the last pass took, in all and for each layer.

        A layer that is part of another's kernel took next to nothing, and so did all of a pass that was played back.
        """
        engine, frequency = self._engine(), cv2.getTickFrequency()
        ticks = np.array([engine.seconds.get(entry.node, 0.0) * frequency for entry in self._list[1:]])
        return round(engine.total * frequency), ticks

    # How it runs.

    def setPreferableBackend(self, backendId: int) -> None:
        """Accepted; `segcaffe.set_mode_gpu` is what makes nets run on a GPU."""

    def setPreferableTarget(self, targetId: int) -> None:
        """Accepted, as `setPreferableBackend`."""

    def enableFusion(self, fusion: bool) -> None:
        """Whether layers become part of others' kernels, as they do unless told otherwise."""
        if bool(fusion) != self._fuse:
            self._fuse = bool(fusion)
            if self._built is not None:
                before = self._built
                self._weights = before.to_proto()
                self._build().note_as(before)

    def enableWinograd(self, useWinograd: bool) -> None:
        """Accepted; sizes alone choose how a convolution is computed."""

    # Parts.

    def empty(self) -> bool:
        """Whether there are no layers."""
        return self._net is None

    def getLayer(self, layerId: int | str) -> Layer:
        """A layer, by its number or name."""
        engine = self._engine()
        return Layer(engine, self._entry(layerId))

    def getParam(self, layer: int | str, numParam: int = 0) -> Array:
        """A copy of a layer's parameter, of at least two axes."""
        return self.getLayer(layer).blob(numParam)

    def setParam(self, layer: int | str, numParam: int, blob: Any) -> None:
        """Set a layer's parameter: as many values as it has, in whatever shape."""
        self.getLayer(layer).set_blob(numParam, blob)

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_BUILT:
            raise NotBuiltError(f"segcaffe.dnn.Net has no {name}: {_NOT_BUILT[name]}.")
        raise AttributeError(f"'Net' object has no attribute {name!r}")

    def _last(self) -> Entry:
        self._engine()
        return self._list[-1]

    def _engine(self) -> Engine:
        """The net that runs, built now if no shapes of inputs were known before."""
        if self._net is None:
            raise DnnError("The net is empty. Make it with readNetFromCaffe(PROTOTXT, CAFFEMODEL).")
        if self._built is None:
            self._shapes.update({name: values.shape for name, values in self._given.items()})
            shapeless = [name for name, shape in self._shapes.items() if not shape]
            if shapeless:
                raise DnnError(
                    f"The prototxt gives the input {', '.join(shapeless)} no shape. "
                    "Call setInput or setInputShape first."
                )
            return self._build()
        return self._built

    def _build(self) -> Engine:
        assert self._net is not None
        with as_dnn_error():
            engine = Engine(definition.to_build(self._net, self._shapes, self._weights), self._fuse)
            if self._weights is not None:
                engine.copy_trained_layers(self._weights, self._where)
        self._built, self._list = engine, entries(engine.graph, self._net.message.layer)
        # The net has its own copy.
        self._weights = None
        return engine


def _are_names(wanted: Iterable[Any]) -> bool:
    return not isinstance(wanted, np.ndarray) or wanted.dtype.kind in "UO"


def _floats(blob: Any) -> Array:
    values = np.asarray(blob)
    if values.dtype.kind not in "fiu":
        raise DnnError(f"setInput takes an array of numbers, as blobFromImage gives. Received: {values.dtype}.")
    return values.astype(np.float32, copy=False)


def _of_channels(mean: Any, values: Array) -> Array:
    """The mean, one value or one for each channel, in the shape that subtracts from a blob."""
    means = np.asarray(mean, np.float32).ravel()
    channels = values.shape[1] if values.ndim > 1 else 1
    if channels > 4 and means.any():
        raise DnnError(f"setInput: mean has at most four values, and the blob has {channels} channels.")
    padded = np.zeros(max(4, channels), np.float32)
    padded[: means.size] = means[: padded.size]
    return padded[:channels].reshape((1, channels) + (1,) * max(0, values.ndim - 2))
