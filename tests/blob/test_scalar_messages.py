"""Scalars in messages: written without a shape, as Caffe does, and read as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.blob.proto import array_of, from_array, set_values, shape_of, to_proto, without_values
from segcaffe.cli.main import main
from segcaffe.convert import formats
from segcaffe.convert.weights import differences, entries
from segcaffe.errors import WeightsError
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST, BlobProto, NetParameter
from segcaffe.proto.text import parse
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State


@pytest.mark.parametrize("dims", [[1] * 33, [0, 1 << 40, 1 << 40], [0] + [1 << 20] * 30, [-1], [2]])
def test_shapes_that_no_array_has(dims: list[int]) -> None:
    message = BlobProto() if 0 in dims else BlobProto(data=[1.0])
    message.shape.dim.extend(dims)
    with pytest.raises(WeightsError, match=r"x: .*the file is damaged"):
        array_of(message, "x")


NET = """
name: "scalars"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "prelu" type: "PReLU" bottom: "data" top: "prelu" prelu_param { channel_shared: true } }
layer { name: "scale" type: "Scale" bottom: "prelu" top: "scale"
  scale_param { axis: 0 num_axes: 0 bias_term: true filler { type: "constant" value: 2 } } }
"""
CAFFE_SCALAR = BlobProto(data=[0.5])
"""What Caffe's Blob::ToProto writes for a blob without axes: its loop over them adds no shape."""


def _net() -> Net:
    return Net(parse(NET, NetParameter()), TEST)


def _old_file(path: Path) -> None:
    """A file with an empty shape, as scalars were once written."""
    net = _net().to_proto()
    for layer in net.layer:
        for blob in layer.blobs:
            blob.shape.SetInParent()
    path.write_bytes(net.SerializeToString())


def test_a_scalar_is_written_as_caffe_writes_it() -> None:
    blob = Blob(())
    blob.data[...] = 0.5
    assert to_proto(blob).SerializeToString() == CAFFE_SCALAR.SerializeToString()
    assert from_array(np.array(0.5, np.float32)).SerializeToString() == CAFFE_SCALAR.SerializeToString()
    assert to_proto(Blob((1,))).shape.dim == [1]
    with_diff = to_proto(blob, write_diff=True)
    assert not with_diff.HasField("shape")
    assert with_diff.diff == [0]


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        (CAFFE_SCALAR, ()),
        (BlobProto(double_data=[1]), ()),
        (BlobProto(shape={}, data=[1]), ()),
        (BlobProto(shape={"dim": [1]}, data=[1]), (1,)),
        (BlobProto(num=1, channels=1, height=1, width=1, data=[1]), (1, 1, 1, 1)),
        (BlobProto(data=[1, 2, 3]), (3,)),
        (BlobProto(), (0,)),
    ],
)
def test_shapes_are_read(message: BlobProto, shape: tuple[int, ...]) -> None:
    assert shape_of(message) == shape


def test_a_message_without_values_still_says_that_it_is_a_scalar() -> None:
    bare = without_values(CAFFE_SCALAR)
    assert shape_of(bare) == ()
    set_values(bare, np.array(0.5, np.float32))
    assert bare.SerializeToString() == CAFFE_SCALAR.SerializeToString()


@pytest.mark.parametrize("suffix", [".caffemodel", ".npz", ".safetensors", ".h5"])
def test_scalars_go_through_every_format(tmp_path: Path, suffix: str) -> None:
    net = _net()
    formats.save(net.to_proto(), tmp_path / f"a{suffix}")
    back = formats.load(tmp_path / f"a{suffix}")
    assert not differences(net.to_proto(), back)
    formats.save(back, tmp_path / "again.caffemodel")
    blobs = [blob for layer in formats.load(tmp_path / "again.caffemodel").layer for blob in layer.blobs]
    assert [blob.HasField("shape") for blob in blobs] == [False] * 3
    _net().copy_from(tmp_path / f"a{suffix}")


def test_files_with_an_empty_shape_are_read_and_converted(tmp_path: Path) -> None:
    _old_file(tmp_path / "old.caffemodel")
    _net().copy_from(tmp_path / "old.caffemodel")
    formats.save(formats.load(tmp_path / "old.caffemodel"), tmp_path / "new.caffemodel")
    net = NetParameter.FromString((tmp_path / "new.caffemodel").read_bytes())
    assert not any(blob.HasField("shape") for layer in net.layer for blob in layer.blobs)


def test_show_and_diff_take_caffes_scalars_for_scalars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _old_file(tmp_path / "ours.caffemodel")
    net = _net().to_proto()
    assert [entry.shape for entry in entries(net)] == [(), (), ()]
    (tmp_path / "caffe.caffemodel").write_bytes(net.SerializeToString())
    assert main(["weights", "show", str(tmp_path / "caffe.caffemodel")]) == 0
    assert capsys.readouterr().out.count("scalar") == 3
    assert main(["weights", "diff", str(tmp_path / "ours.caffemodel"), str(tmp_path / "caffe.caffemodel")]) == 0


@pytest.mark.parametrize("encode", [encode_state, hdf5.encode_state])
def test_histories_of_scalars_keep_their_shape(tmp_path: Path, encode) -> None:
    path = tmp_path / "x.solverstate"
    path.write_bytes(encode(State(1, 0, "", [np.array(3, np.float32)])))
    assert [values.shape for values in load_state(path).history] == [()]


def test_opencv_reads_what_is_written(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV no longer reads Caffe's files")
    net = _net()
    net.params["prelu"][0].data[...] = -0.5
    (tmp_path / "net.prototxt").write_text(NET)
    net.save(tmp_path / "net.caffemodel")
    other = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    values = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    other.setInput(values)
    np.testing.assert_allclose(other.forward(), net.forward(data=values)["scale"], atol=1e-6)
