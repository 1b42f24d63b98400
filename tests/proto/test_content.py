"""Files in each other's place, and the wrong downloads, are called what they are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.convert import formats
from segcaffe.errors import PrototxtError, SegcaffeError, WeightsError
from segcaffe.proto import content
from segcaffe.proto.caffe_pb2 import BlobProto, NetParameter
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State


def _archive(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return memory.getvalue()


def _weights() -> bytes:
    net = NetParameter(name="n")
    net.layer.add(name="ip", type="InnerProduct").blobs.add(data=[1.0, 2.0]).shape.dim.append(2)
    return net.SerializeToString()


NET = b'name: "n"\nlayer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }\n'
SOLVER = b'net: "net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\nmax_iter: 1\n'
STATE = encode_state(State(2, learned_net="s.caffemodel", history=[np.zeros(3, np.float32)]))
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n"
PAGE = b"\n\n<!DOCTYPE html>\n<html><body>404</body></html>"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (NET, content.NET),
        (SOLVER, content.SOLVER),
        (b"layers { }", content.NET),
        (b"# \xd1\xd0\nbase_lr: 1", content.SOLVER),
        (_weights(), content.WEIGHTS),
        (NetParameter(layers=[{"name": "a"}]).SerializeToString(), content.WEIGHTS),
        (STATE, content.STATE),
        (BlobProto(num=1, channels=3, data=[1.0]).SerializeToString(), content.MEAN),
        (LFS, "a Git LFS pointer, which stands for a file of 123 bytes; `git lfs pull` fetches that"),
        (PAGE, "a web page (HTML), such as an error page or one with a download button"),
        (_archive("folder/a.caffemodel"), "a zip archive with folder/a.caffemodel; unpack it first"),
        (_archive("m/data.pkl", "m/version"), "a file of PyTorch (.pth)"),
        (_archive("a/0.npy"), content.NPZ),
        (b"\x1f\x8b\x08rest", "a gzip archive; unpack it first"),
        (b"\x89HDF\r\n\x1a\n", content.HDF5),
        ("name".encode("utf-16"), "text in UTF-16; save it as UTF-8"),
        (b"hello world", "a text file"),
        (b"I1130 12:14:45.176584  9028 solver.cpp:42] Creating training net: net n.prototxt.\n", content.LOG),
        (b"Log file created at: 2016/08/09 13:40:05\n", content.LOG),
        (b"", "an empty file"),
        (b"\x80", ""),
    ],
)
def test_content(data, expected):
    assert content.content_of(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_weights(), "weights (.caffemodel). Give the net's prototxt; weights are given separately"),
        (STATE, "a solver state (.solverstate). Give the net's prototxt."),
        (SOLVER, "a solver (prototxt) with the fields net, base_lr, lr_policy, max_iter. Give the net that it names, "
                 "net.prototxt."),
        (PAGE, "a web page (HTML)"),
        (LFS, "a Git LFS pointer"),
        (b"I1130 12:14:45.176584  9028 solver.cpp:42] net: x.prototxt\n", "a training log."),
    ],
)  # fmt: skip
def test_in_a_nets_place(tmp_path: Path, data, expected):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(PrototxtError) as caught:
        caffe.Net(path, caffe.TEST)
    assert f"Received: {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_weights(), "weights (.caffemodel). Give the solver's prototxt; weights"),
        (STATE, "a solver state (.solverstate). Give the solver's prototxt; the state"),
        (NET, "a net (prototxt) with the fields name, layer. A solver names its net, as net:"),
    ],
)
def test_in_a_solvers_place(tmp_path: Path, data, expected):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(PrototxtError) as caught:
        caffe.get_solver(path)
    assert f"Received: {expected}" in str(caught.value)


@pytest.mark.parametrize("name", ["x.caffemodel", "x.npz", "x.safetensors", "x.h5"])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (STATE, "a solver state (.solverstate)."),
        (NET, "a net (prototxt)."),
        (SOLVER, "a solver (prototxt)."),
        (PAGE, "a web page (HTML)"),
        (LFS, "a Git LFS pointer, which stands for a file of 123 bytes"),
        (_archive("a.caffemodel"), "a zip archive with a.caffemodel; unpack it first."),
    ],
)
def test_in_the_place_of_weights(tmp_path: Path, name, data, expected):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        formats.load(path)
    assert f"Received: {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_weights(), "weights (.caffemodel). Give the .solverstate that was written with it; weights alone"),
        (NET, "a net (prototxt). Give the .solverstate of a snapshot."),
        (SOLVER, "a solver (prototxt). Give the .solverstate of a snapshot."),
    ],
)
def test_in_the_place_of_a_state(tmp_path: Path, data, expected):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load_state(path)
    assert f"Received: {expected}" in str(caught.value)


@pytest.mark.parametrize("suffix", [".onnx", ".pth", ".npy", ".pb", ".prototxt"])
def test_weights_are_not_written_under_foreign_names(tmp_path: Path, suffix):
    net = NetParameter.FromString(_weights())
    path = tmp_path / f"x{suffix}"
    with pytest.raises(WeightsError, match=r"Known: .*\.caffemodel.*\.h5.*\.npz.*\.safetensors"):
        formats.save(net, path)
    (tmp_path / "net.prototxt").write_bytes(NET)
    with pytest.raises(SegcaffeError):
        caffe.Net(tmp_path / "net.prototxt", caffe.TEST).save(path)
    assert not path.exists()


@pytest.mark.parametrize("suffix", [".NPZ", ".SafeTensors", ".H5", ".HDF5", ".CaffeModel", ""])
def test_suffixes_in_any_case(tmp_path: Path, suffix):
    net = NetParameter.FromString(_weights())
    path = tmp_path / f"x{suffix}"
    formats.save(net, path)
    assert formats.arrays_of(formats.load(path), "x")["ip/0"].tolist() == [1, 2]
    magic = {".npz": b"PK", ".h5": b"\x89HDF", ".hdf5": b"\x89HDF"}.get(suffix.lower(), b"")
    assert path.read_bytes().startswith(magic)


def test_nets_save_by_name(tmp_path: Path):
    (tmp_path / "net.prototxt").write_bytes(
        NET + b'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y" '
        b"inner_product_param { num_output: 2 axis: 0 } }"
    )
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST)
    for name in ("x.npz", "x.model", "x.safetensors"):
        net.save(tmp_path / name)
        assert sorted(formats.arrays_of(formats.load(tmp_path / name), "x")) == ["ip/0", "ip/1"]
    assert (tmp_path / "x.npz").read_bytes().startswith(b"PK")
