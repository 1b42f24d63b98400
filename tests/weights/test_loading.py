"""Which layers get weights, which keep theirs, and what of a file is not used: the log says it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.blob.proto import _flat, _written_out, from_array
from segcaffe.errors import ShapeError, WeightsError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, BlobProto, NetParameter
from segcaffe.proto.text import parse
from segcaffe.weights.loading import LoadReport

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 1 dim: 2 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 1 bias_term: false } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 1 bias_term: false } }
"""


def _stored(*names: str) -> NetParameter:
    net = NetParameter()
    for name in names:
        net.layer.add(name=name).blobs.append(from_array(np.ones((1, 2), np.float32)))
    return net


def test_log_tells_what_was_loaded(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    with caplog.at_level("INFO", "segcaffe"):
        net.copy_trained_layers(_stored("a", "c"), "weights.file")
    assert [record.message for record in caplog.records if record.levelname == "INFO"] == [
        "Ignoring source layer c",
        "weights.file: 1 layer got weights: a",
        "weights.file: 1 layer without weights in the file, values kept: b",
        "weights.file: 1 layer of the file not in the net, not used: c",
    ]
    np.testing.assert_array_equal(net.params["a"][0].data, [[1, 1]])


def test_no_shared_name_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    net.copy_trained_layers(_stored("x", "y"), "weights.file")
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "none of its 2 layers with weights has the name of a layer of the net" in record.message
    assert "The file has x, y; the net has a, b." in record.message


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_layers_left_random_or_zero_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    net.copy_trained_layers(_stored("a"), "weights.file")
    assert _warnings(caplog) == [
        "weights.file: 1 of 2 layers with parameters begin with random or zero values, the weights do not have them: b."
    ]


def test_a_second_file_that_has_the_rest_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    net.copy_trained_layers(_stored("a"), "one.file")
    caplog.clear()
    second = NetParameter()
    second.layer.add(name="b").blobs.append(from_array(np.ones((1, 1), np.float32)))
    net.copy_trained_layers(second, "two.file")
    assert _warnings(caplog) == []


def test_constants_that_mean_something_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    prelu = 'layer { name: "slope" type: "PReLU" bottom: "b" top: "c" }'
    net = Net(parse(NET.partition('layer { name: "b"')[0] + prelu.replace('"b"', '"a"'), NetParameter()), phase=TEST)
    net.copy_trained_layers(_stored("a"), "weights.file")
    assert _warnings(caplog) == []


@pytest.mark.parametrize("others", [(), ("a",)])
def test_a_stored_layer_without_blobs_does_not_fit(others: tuple[str, ...]) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    stored = _stored(*others)
    stored.layer.add(name="b", type="InnerProduct")
    with pytest.raises(WeightsError, match=r'layer "b" \(InnerProduct\) has 1 parameter, the file 0'):
        net.copy_trained_layers(stored, "weights.file")
    assert not net.params["a"][0].data.any()


def test_stored_layers_without_blobs_are_nothing_to_layers_without_parameters() -> None:
    relu = 'layer { name: "relu" type: "ReLU" bottom: "b" top: "b" }'
    net = Net(parse(NET + relu, NetParameter()), phase=TEST)
    for name in ("relu", "data", "stranger"):
        stored = _stored("a")
        stored.layer.add(name=name, type="ReLU")
        net.copy_trained_layers(stored, "weights.file")
    np.testing.assert_array_equal(net.params["a"][0].data, [[1, 1]])


def test_report() -> None:
    report = LoadReport.of(["a", "b", "a"], ["b", "c"])
    assert (report.loaded, report.kept, report.unused) == (("b",), ("a",), ("c",))
    assert not report.strangers
    assert not LoadReport.of([], ["b"]).strangers
    assert not LoadReport.of(["a"], []).strangers
    assert LoadReport.of(["a"], ["b"]).strangers


ALIKE = """
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 1 dim: 2 } } }
layer { name: "same" type: "ReLU" bottom: "data" top: "relu" }
layer { name: "same" type: "InnerProduct" bottom: "relu" top: "a"
  inner_product_param { num_output: 3 bias_term: false } }
layer { name: "same" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: SIZE bias_term: false } }
"""


@pytest.mark.parametrize("size", [3, 5])
def test_layers_named_alike_get_their_own_weights_back(size: int) -> None:
    text = ALIKE.replace("SIZE", str(size))
    first, second = (Net(parse(text, NetParameter()), phase=TEST) for _ in range(2))
    blobs = [layer.blobs[0] for layer in first.layers if layer.blobs]
    for number, blob in enumerate(blobs, start=1):
        blob.data[...] = number
    second.copy_trained_layers(first.to_proto(), "weights.file")
    assert [float(layer.blobs[0].data.mean()) for layer in second.layers if layer.blobs] == [1.0, 2.0]


def test_all_layers_named_alike_get_the_weights_of_the_only_one() -> None:
    net = Net(parse(ALIKE.replace("SIZE", "3").replace("dim: 2", "dim: 3"), NetParameter()), phase=TEST)
    stored = NetParameter()
    stored.layer.add(name="same").blobs.append(from_array(np.full((3, 3), 7, np.float32)))
    net.copy_trained_layers(stored, "weights.file")
    assert [float(layer.blobs[0].data.mean()) for layer in net.layers if layer.blobs] == [7.0, 7.0]


SPECIAL = np.array([0.0, -0.0, np.inf, np.nan, 1e-45, 3.4e38, 1 / 3], np.float32)


@pytest.mark.parametrize("read", [_flat, _written_out])
@pytest.mark.parametrize("kind", ["data", "diff", "double_data"])
def test_values_of_a_message_keep_their_bits_and_are_nobody_elses(kind: str, read: Callable[..., np.ndarray]) -> None:
    message, dtype = BlobProto(), np.dtype(np.float64 if kind == "double_data" else np.float32)
    message.shape.dim.append(len(SPECIAL))
    getattr(message, kind).extend(SPECIAL.astype(dtype))
    found = read(message, kind, dtype, len(SPECIAL))
    assert found.dtype == dtype
    assert found.flags.owndata
    assert found.tobytes() == SPECIAL.astype(dtype).tobytes()
    found[...] = 7
    assert list(getattr(message, kind))[:2] == [0, 0]


def test_large_weights_are_not_copied_on_their_way_into_the_net() -> None:
    """In the message and in the net; with an older protobuf once more on the way."""
    text = NET.replace("num_output: 1 bias_term", "num_output: 500000 bias_term", 1)
    stored = NetParameter()
    stored.layer.add(name="a").blobs.append(from_array(np.ones((500000, 2), np.float32)))
    net = Net(parse(text.partition('layer { name: "b"')[0], NetParameter()), phase=TEST)
    tracemalloc.start()
    net.copy_trained_layers(stored)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    copies = 1 if hasattr(BlobProto().data, "__array__") else 2
    assert peak < (copies + 0.5) * net.params["a"][0].nbytes
    assert net.params["a"][0].data.sum() == 1e6


@pytest.mark.parametrize("held", [False, True])
def test_loaded_weights_are_seen_by_arrays_and_passes_from_before(held: bool) -> None:
    net = Net(parse(NET, NetParameter()), phase=TEST)
    array = net.params["a"][0].data[:] if held else None
    net.blobs["data"].data[...] = 1
    net.params["b"][0].data[...] = 1
    for _ in range(6):
        assert net.forward()["b"] == 0
    net.copy_trained_layers(_stored("a"))
    assert [net.forward()["b"].item() for _ in range(6)] == [2] * 6
    mine = net.params["a"][0].data
    if array is not None:
        assert np.shares_memory(mine, array)
    mine[...] = 3
    assert [net.forward()["b"].item() for _ in range(6)] == [6] * 6
    assert net.params["a"][0].buffer("data").is_held(), "the array handed out can be written to unseen"


def test_arrays_of_others_are_copied() -> None:
    blob, values = Blob((2, 3)), np.arange(6, dtype=np.float32)
    blob.take_over(values[:])
    values[...] = 0
    assert blob.data.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ShapeError, match=r"takes 6 values. Received: 5."):
        blob.take_over(np.zeros(5, np.float32))
