"""``segcaffe upgrade``: old nets and solvers in text and binary to today's notation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.cli.main import main
from segcaffe.proto import caffe_pb2
from segcaffe.proto.dialect import decode_net
from segcaffe.proto.text import read

V1 = """
name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: ${LR} blobs_lr: 2
  convolution_param { num_output: 2 kernel_size: 1 } }
"""


def _check(net: caffe_pb2.NetParameter) -> None:
    assert not net.layers
    assert [layer.type for layer in net.layer] == ["Input", "Convolution"]
    assert [spec.lr_mult for spec in net.layer[1].param] == [1, 2]


def test_text_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.prototxt").write_text(V1)
    arguments = ["upgrade", "net", str(tmp_path / "old.prototxt"), str(tmp_path / "new"), "--set", "LR=1"]
    assert main(arguments) == 0
    assert "became the layer" in capsys.readouterr().err
    _check(read(tmp_path / "new", caffe_pb2.NetParameter))
    assert main(["upgrade", "net", str(tmp_path / "new"), str(tmp_path / "again.prototxt")]) == 0
    assert "already" in capsys.readouterr().err
    assert (tmp_path / "again.prototxt").read_text() == (tmp_path / "new").read_text()


def test_binary_net_keeps_its_weights(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter(name="old")
    layer = net.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer.blobs.append(from_array(values))
    (tmp_path / "old.caffemodel").write_bytes(net.SerializeToString())
    assert main(["upgrade", "net", str(tmp_path / "old.caffemodel"), str(tmp_path / "new"), "--to", "v1"]) == 0
    upgraded, _ = decode_net((tmp_path / "new").read_bytes())
    assert upgraded.layer[0].type == "InnerProduct"
    np.testing.assert_array_equal(upgraded.layer[0].blobs[0].data, values.reshape(-1))


def test_weights_are_no_solver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = caffe_pb2.NetParameter(name="n")
    net.layer.add(name="ip", type="InnerProduct")
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    assert main(["upgrade", "solver", str(tmp_path / "net.caffemodel"), str(tmp_path / "out.prototxt")]) == 2
    assert "Received: weights (.caffemodel)" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.prototxt").exists()


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_solver(tmp_path: Path, binary: bool) -> None:
    old = tmp_path / "old"
    if binary:
        kind = caffe_pb2.SolverParameter.ADAM
        old.write_bytes(caffe_pb2.SolverParameter(base_lr=0.5, solver_type=kind).SerializeToString())
    else:
        old.write_text("base_lr: 0.5 solver_type: ADAM")
    assert main(["upgrade", "solver", str(old), str(tmp_path / "new.prototxt")]) == 0
    solver = read(tmp_path / "new.prototxt", caffe_pb2.SolverParameter)
    assert (solver.type, solver.base_lr, solver.HasField("solver_type")) == ("Adam", 0.5, False)
    assert main(["upgrade", "solver", str(old), str(tmp_path / "new")]) == 0
    written = (tmp_path / "new").read_bytes()
    assert b"Adam" in written
    assert (b"type:" in written) != binary


def test_what_is_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\x00\x01nonsense")
    for kind in ("net", "solver"):
        assert main(["upgrade", kind, str(tmp_path / "bad"), str(tmp_path / "out")]) == 2
        assert str(tmp_path / "bad") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_original_solver_of_the_fork(shared: Path, tmp_path: Path) -> None:
    for path in sorted((shared / "models").glob("*/*solver.prototxt")):
        assert main(["upgrade", "solver", str(path), str(tmp_path / "new.prototxt")]) == 0
