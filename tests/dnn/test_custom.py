"""Layers that scripts write by OpenCV's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segcaffe import dnn
from segcaffe.dnn.custom import is_registered
from segcaffe.errors import UserCodeError
from segcaffe.proto.caffe_pb2 import NetParameter
from tests.dnn.nets import layer

Array = np.ndarray[Any, Any]
IMAGE = b'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }\n'
VALUES = np.random.RandomState(3).randn(1, 2, 6, 6).astype(np.float32)


class Recorder:
    """Doubles its bottom, and keeps what it was called with."""

    calls: list[Any]

    def __init__(self, params: dict[str, Any], blobs: list[Array]) -> None:
        type(self).calls = [params, blobs]

    def getMemoryShapes(self, inputs: list[Any]) -> list[Any]:
        self.calls.append(inputs)
        return [inputs[0]]

    def forward(self, inputs: tuple[Array, ...]) -> list[Array]:
        return [inputs[0] * 2]


@pytest.fixture(autouse=True)
def _unregistered() -> Iterator[None]:
    yield
    for name in ("Mine", "Crop", "Python"):
        while is_registered(name):
            dnn.unregisterLayer(name)


def _read(text: str, model: bytes = b"") -> dnn.Net:
    net = dnn.readNetFromCaffe(IMAGE + text.encode(), model)
    net.setInput(VALUES)
    return net


def test_a_crop_of_ones_own() -> None:
    """As scripts for HED do, whose Crop centres what it cuts."""

    class CropLayer:
        def __init__(self, params: Any, blobs: Any) -> None:
            self.ystart = self.xstart = 0

        def getMemoryShapes(self, inputs: list[Any]) -> list[Any]:
            source, target = inputs
            self.ystart, self.xstart = (source[2] - target[2]) // 2, (source[3] - target[3]) // 2
            self.yend, self.xend = self.ystart + target[2], self.xstart + target[3]
            return [[*source[:2], *target[2:]]]

        def forward(self, inputs: tuple[Array, ...]) -> list[Array]:
            return [inputs[0][:, :, self.ystart : self.yend, self.xstart : self.xend]]

    dnn.registerLayer("Crop", CropLayer)
    small = layer("small", "Pooling", "data", "small", "pooling_param { kernel_size: 3 stride: 1 }")
    net = _read(small + layer("crop", "Crop", "data small", "crop"))
    assert net.getLayer("crop").type == "Crop"
    assert np.array_equal(net.forward("crop"), VALUES[:, :, 1:5, 1:5])
    wide = np.random.RandomState(4).randn(1, 2, 9, 8).astype(np.float32)
    net.setInput(wide)
    assert np.array_equal(net.forward("crop"), wide[:, :, 1:8, 1:7])
    dnn.unregisterLayer("Crop")
    options = "crop_param { axis: 2 offset: 0 }"
    assert np.array_equal(_read(small + layer("crop", "Crop", "data small", "crop", options)).forward(),
                          VALUES[:, :, :4, :4])  # fmt: skip


def test_options_come_in_one_dictionary() -> None:
    """As OpenCV 4.14 gives them."""
    dnn.registerLayer("Mine", Recorder)
    options = (
        "crop_param { axis: 2 offset: 1 offset: 3 } convolution_param { num_output: 2 bias_term: false "
        'weight_filler { type: "xavier" } } pooling_param { pool: AVE }'
    )
    net = _read(layer("mine", "Mine", "data", "mine", options))
    assert np.array_equal(net.forward(), VALUES * 2)
    assert Recorder.calls[0] == {
        "axis": 2, "offset": (1, 3), "num_output": 2, "bias_term": 0, "type": "xavier", "pool": "AVE"
    }  # fmt: skip
    assert Recorder.calls[1:3] == [[], [(1, 2, 6, 6)]]


def test_weights_reach_the_layer() -> None:
    dnn.registerLayer("Mine", Recorder)
    model = NetParameter()
    stored = model.layer.add(name="mine", type="Mine")
    for dims in ((2, 3), (4,)):
        blob = stored.blobs.add(data=range(int(np.prod(dims))))
        blob.shape.dim.extend(dims)
    net = _read(layer("mine", "Mine", "data", "mine"), model.SerializeToString())
    for fusion in (True, False):
        net.enableFusion(fusion)
        assert [blob.tolist() for blob in Recorder.calls[1]] == [[[0, 1, 2], [3, 4, 5]], [[0], [1], [2], [3]]]
        assert np.array_equal(net.forward(), VALUES * 2)


def test_a_layer_between_others_and_in_place() -> None:
    dnn.registerLayer("Mine", Recorder)
    net = _read(layer("a", "Mine", "data", "data") + layer("b", "ReLU", "data", "b") + layer("c", "Mine", "b", "c"))
    assert net.getLayerNames() == ("a", "b", "c")
    assert np.array_equal(net.forward(), 4 * np.maximum(VALUES, 0))


def test_python_layers_of_nets() -> None:
    dnn.registerLayer("Python", Recorder)
    net = _read(layer("p", "Python", "data", "p", 'python_param { module: "rpn.mine" layer: "L" param_str: "{}" }'))
    assert np.array_equal(net.forward(), VALUES * 2)
    assert Recorder.calls[0] == {"module": "rpn.mine", "layer": "L", "param_str": "{}"}


def test_the_class_that_was_registered_last_prevails() -> None:
    class Negative(Recorder):
        def forward(self, inputs: tuple[Array, ...]) -> list[Array]:
            return [-inputs[0]]

    dnn.registerLayer("Mine", Recorder)
    dnn.registerLayer("Mine", Negative)
    text = layer("m", "Mine", "data", "m")
    assert np.array_equal(_read(text).forward(), -VALUES)
    dnn.unregisterLayer("Mine")
    assert np.array_equal(_read(text).forward(), VALUES * 2)
    dnn.unregisterLayer("Nobody")


@pytest.mark.parametrize(
    ("shapes", "results", "words"),
    [
        ([[1, 2], [3]], [np.zeros((1, 2))], "a shape for each of 1 tops"),
        ([[1, 2]], [np.zeros((1, 3))], r"\[\(1, 2\)\]. Received: \[\(1, 3\)\]"),
        ([[1, 2]], [], r"Received: \[\]"),
    ],
)
def test_shapes_that_contradict(shapes: list[Any], results: list[Array], words: str) -> None:
    class Wrong(Recorder):
        def getMemoryShapes(self, inputs: list[Any]) -> list[Any]:
            return shapes

        def forward(self, inputs: tuple[Array, ...]) -> list[Array]:
            return results

    dnn.registerLayer("Mine", Wrong)
    with pytest.raises(dnn.DnnError, match=words):
        _read(layer("m", "Mine", "data", "m")).forward()


def test_what_the_class_raises_is_told_with_its_traceback() -> None:
    class Raises(Recorder):
        def forward(self, inputs: tuple[Array, ...]) -> list[Array]:
            raise ValueError("my own words")

    dnn.registerLayer("Mine", Raises)
    with pytest.raises(dnn.DnnError, match="my own words") as error:
        _read(layer("c", "ReLU", "data", "c") + layer("m", "Mine", "data", "m")).forward("m")
    assert isinstance(error.value, UserCodeError)


def test_a_class_without_the_protocol() -> None:
    with pytest.raises(dnn.DnnError, match="Missing: getMemoryShapes"):
        dnn.registerLayer("Mine", dict)
