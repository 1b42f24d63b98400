"""What `segcaffe.dnn.Net` takes, gives back and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe import dnn
from segcaffe.dnn import DnnError
from segcaffe.errors import GraphError, PrototxtError, SegcaffeError, WeightsError
from tests.dnn.nets import conv, in_place, inputs, layer, weights

IMAGE = b'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return weights("classifier", tmp_path)


@pytest.fixture
def net(files: tuple[str, str]) -> dnn.Net:
    return dnn.readNetFromCaffe(*files)


def _values() -> np.ndarray:
    return inputs("classifier")[0]["data"]


def _read(text: str) -> dnn.Net:
    return dnn.readNetFromCaffe(IMAGE + text.encode())


# Reading.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_contents_of_files_are_read(kind: type, files: tuple[str, str], net: dnn.Net) -> None:
    buffers = [kind(Path(file).read_bytes()) for file in files]
    net.setInput(_values())
    expected = net.forward()
    for other in (dnn.readNetFromCaffe(*buffers), dnn.readNetFromCaffe(bufferProto=buffers[0], bufferModel=buffers[1]),
                  dnn.readNet("caffe", buffers[1], buffers[0])):  # fmt: skip
        other.setInput(_values())
        assert np.array_equal(other.forward(), expected)


def test_read_net_takes_either_order(files: tuple[str, str]) -> None:
    for pair in (files, files[::-1]):
        assert isinstance(dnn.readNet(*pair), dnn.Net)
    assert isinstance(dnn.readNet(Path(files[1]), Path(files[0])), dnn.Net)


def test_weights_of_other_formats(files: tuple[str, str], net: dnn.Net, tmp_path: Path) -> None:
    from segcaffe.convert import formats

    formats.save(formats.load(files[1]), tmp_path / "net.safetensors")
    other = dnn.readNetFromCaffe(files[0], tmp_path / "net.safetensors")
    assert np.array_equal(other.getParam("fc"), net.getParam("fc"))


@pytest.mark.parametrize(
    ("prototxt", "model", "kind", "words"),
    [
        ("none.prototxt", "", PrototxtError, "none.prototxt: there is no such file"),
        ("net.prototxt", "none.caffemodel", WeightsError, "none.caffemodel"),
        ("net.prototxt", "net.prototxt", WeightsError, "net.prototxt"),
        ("net.caffemodel", "", PrototxtError, "net.caffemodel: expected"),
    ],
)
def test_files_that_are_not_there_or_no_nets(
    prototxt: str, model: str, kind: type, words: str, files: tuple[str, str], tmp_path: Path
) -> None:
    paths = [str(tmp_path / name) if name else "" for name in (prototxt, model)]
    with pytest.raises(cv2.error, match=re.escape(words)) as error:
        dnn.readNetFromCaffe(*paths)
    assert isinstance(error.value, kind)
    assert isinstance(error.value, DnnError)


def test_bytes_that_are_no_net() -> None:
    with pytest.raises(DnnError, match=r"bufferProto:1:\d+: .*not closed"):
        dnn.readNetFromCaffe(b"layer {")
    with pytest.raises(DnnError, match="bufferModel: the file is no binary net"):
        dnn.readNetFromCaffe(IMAGE, b"\x08\xff\xff")
    with pytest.raises(DnnError, match=r"bufferProto is bytes.*float64"):
        dnn.readNetFromCaffe([1.5])
    with pytest.raises(DnnError, match="takes a prototxt"):
        dnn.readNetFromCaffe()


def test_an_unknown_option_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    net = _read(layer("r", "ReLU", "data", "r", "strange_param { a: 1 }"))
    assert net.getLayerNames() == ("r",)
    assert "strange_param" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (layer("d", "HDF5Data", "", "d", 'hdf5_data_param { source: "x" batch_size: 1 }'), "fed by setInput"),
        (layer("p", "Python", "data", "p", 'python_param { module: "os" layer: "L" }'), "code of the net's author"),
        (layer("m", "MatWrite", "data", "", 'mat_write_param { prefix: "x" }'), "writes files"),
        (layer("f", "Foo", "data", "f"), 'unknown layer type "Foo"'),
        (layer("r", "ReLU", "nowhere", "r"), "nowhere"),
    ],
)  # fmt: skip
def test_layers_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(cv2.error, match=words) as error:
        _read(text)
    assert str(error.value).startswith("bufferProto:2")


def test_no_files_are_written(tmp_path: Path) -> None:
    """DetectionOutput of a test net writes its boxes where it says so; OpenCV passes over that."""
    options = 'detection_output_param { save_output_param { output_directory: "%s" output_format: "VOC" } ' % (
        tmp_path / "out"
    )
    text = Path(weights("detector", tmp_path)[0]).read_text().replace("detection_output_param {", options)
    net = dnn.readNetFromCaffe(text.encode(), Path(tmp_path / "net.caffemodel").read_bytes())
    net.setInput(inputs("detector")[0]["data"])
    assert net.forward().shape == (1, 1, 7, 7)
    assert not (tmp_path / "out").exists()


def test_layers_of_training_are_left_out() -> None:
    text = layer("t", "ReLU", "data", "t", "include { phase: TRAIN }") + layer("s", "Sigmoid", "data", "s")
    assert _read(text).getLayerNames() == ("s",)


# Inputs.


def test_scale_and_mean(net: dnn.Net) -> None:
    raw = (np.abs(_values()) * 50).astype(np.uint8)
    net.setInput((raw.astype(np.float32) - np.float32([1, 2, 3]).reshape(1, 3, 1, 1)) * np.float32(0.5))
    expected = net.forward()
    net.setInput(raw, "data", 0.5, (1, 2, 3))
    assert np.array_equal(net.forward(), expected)
    net.setInput(raw, scalefactor=0.5, mean=(1, 2, 3, 0))
    assert np.array_equal(net.forward(), expected)


@pytest.mark.parametrize("dtype", ["f8", "i4", "f2", "u1"])
def test_numbers_of_any_type(dtype: str, net: dnn.Net) -> None:
    raw = np.arange(192).reshape(1, 3, 8, 8)
    net.setInput(raw.astype("f4"))
    expected = net.forward()
    net.setInput(raw.astype(dtype))
    assert np.array_equal(net.forward(), expected)


def test_the_input_is_copied_and_results_are_copies(net: dnn.Net) -> None:
    values = _values().copy()
    net.setInput(values)
    values[...] = 0
    first = net.forward("conv1")
    kept = first.copy()
    net.setInput(values)
    assert not np.array_equal(net.forward("conv1"), kept)
    assert np.array_equal(first, kept)


def test_a_net_runs_again_on_what_was_set_before(tmp_path: Path) -> None:
    net = dnn.readNetFromCaffe(*weights("over the input", tmp_path))
    net.setInput(inputs("over the input")[0]["data"])
    assert np.array_equal(net.forward(), net.forward())


def test_the_names_of_inputs(net: dnn.Net) -> None:
    with pytest.raises(DnnError, match=r'no input "datum"\. Did you mean "data"'):
        net.setInput(_values(), "datum")
    net.setInputsNames(["image"])
    net.setInput(_values(), "image")
    assert net.forward().shape == (1, 5)
    with pytest.raises(DnnError, match="Known: image"):
        net.setInput(_values(), "data")
    with pytest.raises(DnnError, match="a name for each input"):
        net.setInputsNames(["a", "b"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((1, 3, 8, 8), bool), "numbers.*bool"),
        (np.array([["a"]]), "array of numbers"),
        (None, "array of numbers"),
    ],
)
def test_inputs_that_are_no_numbers(values: object, words: str, net: dnn.Net) -> None:
    with pytest.raises(cv2.error, match=words):
        net.setInput(values)


def test_inputs_that_do_not_fit_and_then_one_that_does(net: dnn.Net) -> None:
    net.setInput(_values())
    expected = net.forward()
    for shape in ((1, 4, 8, 8), (1, 3, 9, 9), (3, 8)):
        net.setInput(np.ones(shape, "f4"))
        with pytest.raises(cv2.error, match="layer"):
            net.forward()
    net.setInput(_values())
    assert np.array_equal(net.forward(), expected)


def test_inputs_that_are_missing(tmp_path: Path) -> None:
    net = dnn.readNetFromCaffe(*weights("two inputs", tmp_path))
    net.setInput(inputs("two inputs")[0]["data"], "data")
    with pytest.raises(cv2.error, match=r"no values for the input other\. Call setInput"):
        net.forward()


def test_an_input_without_a_shape() -> None:
    text = b'layer { name: "in" type: "Input" top: "data" }\n' + layer("r", "ReLU", "data", "r").encode()
    net = dnn.readNetFromCaffe(text)
    with pytest.raises(DnnError, match="gives the input data no shape"):
        net.getLayerNames()
    net.setInput(np.ones((2, 3), "f4"))
    assert net.forward().shape == (2, 3)
    other = dnn.readNetFromCaffe(text)
    other.setInputShape("data", (1, 7))
    assert other.getLayerNames() == ("r",)
    with pytest.raises(DnnError, match='no input "x"'):
        other.setInputShape("x", (1,))


def test_old_inputs_without_a_shape() -> None:
    net = dnn.readNetFromCaffe(b'input: "data" ' + layer("r", "ReLU", "data", "r").encode())
    net.setInput(_values()[0], "data")
    assert net.forward().shape == (3, 8, 8)


def test_a_stated_shape_that_is_too_small(tmp_path: Path) -> None:
    """As deploy files have it whose size is defined when they run."""
    text = IMAGE.replace(b"dim: 8 dim: 8", b"dim: 1 dim: 1") + conv("c", "data", 2, 3, "bias_term: false").encode()
    net = dnn.readNetFromCaffe(text)
    with pytest.raises(cv2.error, match=r'^bufferProto:2: layer "c"'):
        net.getLayerNames()
    net.setInput(_values())
    net.getLayer("c").blobs = [np.ones((2, 3, 3, 3))]
    assert net.forward().shape == (1, 2, 6, 6)


# Outputs.


def test_layers_by_the_names_of_the_prototxt(net: dnn.Net) -> None:
    """OpenCV calls a Convolution by its top; older releases, and people, by its name."""
    assert net.getLayerId("side") == net.getLayerId("side_top") == 7
    net.setInput(_values())
    assert np.array_equal(net.forward("side"), net.forward("side_top"))


def test_layers_that_are_not_there(net: dnn.Net) -> None:
    net.setInput(_values())
    assert net.getLayerId("none") == -1
    for call in (
        net.forward,
        net.getLayer,
        lambda name: net.forward([name]),
        lambda name: net.forwardAndRetrieve([name]),
    ):
        with pytest.raises(cv2.error, match=r'The net has no layer "conv11"\. Did you mean "conv1"'):
            call("conv11")
    for number in (-1, 10):
        with pytest.raises(cv2.error, match=f"from number 0 on. Received: {number}"):
            net.getLayer(number)


def test_ways_to_name_outputs(net: dnn.Net) -> None:
    net.setInput(_values())
    expected = net.forward("fc")
    names = net.getLayerNames()
    assert np.array_equal(net.forward(outputName="fc"), expected)
    assert np.array_equal(net.forward(outBlobNames=["fc"])[0], expected)
    assert np.array_equal(net.forward(np.array(["fc"]))[0], expected)
    assert np.array_equal(net.forward(""), net.forward())
    old_style = [names[i - 1] for i in net.getUnconnectedOutLayers()]
    assert [found.shape for found in net.forward(old_style)] == [(1, 2, 4, 4), (1, 5)]
    twice = net.forward(["prob", "fc", "prob"])
    assert np.array_equal(twice[0], twice[2])
    assert np.array_equal(twice[1], expected)


def test_an_empty_net() -> None:
    net = dnn.Net()
    assert net.empty()
    assert net.getLayerNames() == ()
    with pytest.raises(cv2.error, match="The net is empty"):
        net.forward()


# Parameters.


def test_parameters_are_read_and_set(net: dnn.Net) -> None:
    net.setInput(_values())
    before = net.forward("fc")
    weight, bias = net.getLayer("fc").blobs
    assert (weight.shape, bias.shape) == ((5, 64), (1, 5))
    net.setParam("fc", 1, bias.ravel() + 1)
    assert np.allclose(net.forward("fc"), before + 1, atol=1e-6)
    net.getLayer(net.getLayerId("fc")).blobs = [weight * 2, np.zeros((5, 1), "f4")]
    assert np.allclose(net.forward("fc"), 2 * (before - bias), atol=1e-5)
    assert np.array_equal(net.getParam("fc", 0), weight * 2)


def test_parameters_that_do_not_fit(net: dnn.Net) -> None:
    with pytest.raises(cv2.error, match=r"Blob 1 of layer .fc. .* has 5 values.*Received: 6 values"):
        net.setParam("fc", 1, np.zeros(6, "f4"))
    with pytest.raises(cv2.error, match=r"has 2 blobs\. Received: number 2"):
        net.getParam("fc", 2)
    with pytest.raises(cv2.error, match=r"has 2 blobs\. Received: 1"):
        net.getLayer("fc").blobs = [np.zeros(5)]


def test_weights_that_are_missing_until_they_are_set() -> None:
    """As scripts that colour photographs do with the layers that the caffemodel lacks."""
    net = _read(conv("ab", "data", 2, 1, "bias_term: false"))
    net.setInput(_values())
    with pytest.raises(cv2.error, match=r'No weights for layer "ab" \(Convolution\)'):
        net.forward()
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    net.getLayer(net.getLayerId("ab")).blobs = [points.reshape(2, 3, 1, 1)]
    assert np.allclose(net.forward(), np.einsum("oc,nchw->nohw", points, _values()), atol=1e-5)


# How it runs.


def test_weights_that_were_missing_are_so_without_fusion() -> None:
    net = _read(conv("a", "data", 2, 1) + conv("b", "a", 2, 1))
    net.setInput(_values())
    net.getLayer("a").blobs = [np.ones((2, 3)), np.zeros(2)]
    expected = net.forward("a")
    net.enableFusion(False)
    assert np.array_equal(net.forward("a"), expected)
    with pytest.raises(cv2.error, match=r'No weights for layer "b"'):
        net.forward()
    assert net.forwardAndRetrieve([]) == ()


def test_fusion_changes_nothing_but_rounding(net: dnn.Net) -> None:
    net.setInput(_values())
    net.setParam("fc", 1, np.ones(5))
    expected = net.forward(net.getLayerNames())
    net.enableFusion(False)
    for mine, theirs in zip(net.forward(net.getLayerNames()), expected, strict=True):
        assert np.allclose(mine, theirs, atol=1e-5)


def test_backends_are_accepted_and_times_told(net: dnn.Net) -> None:
    net.setPreferableBackend(dnn.DNN_BACKEND_CUDA)
    net.setPreferableTarget(dnn.DNN_TARGET_CUDA)
    net.enableWinograd(False)
    net.setInput(_values())
    net.forward()
    total, of_layers = net.getPerfProfile()
    assert len(of_layers) == len(net.getLayerNames())
    assert 0 < of_layers.sum() <= total + 1


def test_the_graph_is_drawn(net: dnn.Net) -> None:
    text = net.dump()
    assert '"_input" -> "conv1"' in text
    assert '"conv1_relu" -> "pool1"' in text
    assert "output: 1 x 4 x 8 x 8" in text


@pytest.mark.parametrize("name", ["quantize", "addLayer", "connect", "forwardAsync"])
def test_what_is_not_built_says_so(name: str, net: dnn.Net) -> None:
    with pytest.raises(DnnError, match=f"segcaffe.dnn.Net has no {name}: "):
        getattr(net, name)
    assert not hasattr(net, name)
    assert not hasattr(net, "somethingElse")


def test_errors_tell_layer_and_place() -> None:
    with pytest.raises(GraphError, match=r'^bufferProto:2: layer "r"') as error:
        _read(layer("r", "ReLU", "nowhere", "r"))
    assert isinstance(error.value, SegcaffeError)
    assert (error.value.layer, error.value.place.line) == ("r", 2)


def test_shapes_that_are_asked_for_do_not_stay(net: dnn.Net) -> None:
    net.setInput(_values())
    expected = net.forward()
    with pytest.raises(cv2.error, match="fc"):
        net.getLayersShapes([1, 3, 10, 10])
    assert net.getFLOPS([5, 3, 8, 8]) == 5 * net.getFLOPS([[1, 3, 8, 8]])
    assert np.array_equal(net.forward(), expected)
    with pytest.raises(cv2.error, match="A shape is needed for each input: data"):
        net.getLayersShapes([[1, 3, 8, 8], [1, 3, 8, 8]])


def test_a_layer_in_place_is_asked_for_by_its_own_name() -> None:
    net = _read(in_place("Sigmoid", "data") + in_place("TanH", "data"))
    net.setInput(_values())
    sigmoid, tanh = net.forward(["data_sigmoid", "data_tanh"])
    assert np.allclose(sigmoid, 1 / (1 + np.exp(-_values())), atol=1e-6)
    assert np.allclose(tanh, np.tanh(sigmoid), atol=1e-6)


def test_arguments_of_another_kind(net: dnn.Net, files: tuple[str, str]) -> None:
    with pytest.raises(cv2.error, match=r"forward takes the name of a layer, or a list of names\. Received: 3"):
        net.forward(3)
    for shape in ("x", None, 3):
        with pytest.raises(cv2.error, match=r"A shape is a list of whole numbers"):
            net.getFLOPS(shape)
    with pytest.raises(cv2.error, match=r"weights of Caffe need the net's prototxt"):
        dnn.readNet(next(path for path in files if path.endswith(".caffemodel")))
