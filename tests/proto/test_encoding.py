"""Text that is not UTF-8: bytes stay bytes, in texts, names, paths and binary files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.cli.main import main
from segcaffe.proto import encoding, text
from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.dialect import decode_net, encode_net
from segcaffe.snapshot.solverstate import decode_state, encode_state
from segcaffe.snapshot.state import State

GBK = "\u7814\u7a76".encode("gbk")
LATIN = "Stra\u00dfe".encode("latin-1")
RESERVED = "\U0010f7d1".encode()
INPUT = b'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }\n'
PRODUCT = b'layer { name: "%s" type: "InnerProduct" bottom: "data" top: "y" inner_product_param { num_output: 2 } }\n'


@pytest.mark.parametrize("data", [b"", b"conv1", "caf\u00e9".encode(), GBK, LATIN, RESERVED, b"a" + RESERVED + GBK])
def test_bytes_and_strings_correspond(data):
    held = encoding.from_bytes(data)
    NetParameter(name=held)
    assert encoding.to_bytes(held) == data
    assert os.fsencode(encoding.to_native(held)) == data
    assert encoding.from_native(os.fsdecode(data)) == held


@pytest.mark.parametrize("data", [GBK, LATIN, RESERVED])
def test_binary_messages_keep_their_bytes(data):
    known = NetParameter(name="NAME", input=["a", "NAME"])
    known.layer.add(name="NAME", type="ReLU", bottom=["NAME", "b"]).include.add(stage=["NAME"])
    binary = known.SerializeToString().replace(b"\x04NAME", bytes([len(data)]) + data)
    binary = binary[: binary.index(b"\xa2\x06")] + b"\xa2\x06" + _grown(binary, 3 * (len(data) - 4))
    net, dialect = decode_net(binary)
    assert net.name == net.layer[0].bottom[0] == net.layer[0].include[0].stage[0] == encoding.from_bytes(data)
    assert encode_net(net, dialect) == binary


def _grown(binary: bytes, by: int) -> bytes:
    """The layer with its length, and that of its include rule, grown as the names in them."""
    body = bytearray(binary[binary.index(b"\xa2\x06") + 2 :])
    body[0] += by
    rule = body.index(b"\x42", 1)
    body[rule + 1] += by // 3
    return bytes(body)


@pytest.mark.parametrize("written", [GBK, rb"\321\320\276\277", rb"\xd1\xd0\xbe\xbf"])
def test_text_is_read_as_bytes_and_written_as_escapes(tmp_path, written):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"# " + LATIN + b"\n" + INPUT + PRODUCT % written)
    net = text.read_net(path).message
    assert encoding.to_bytes(net.layer[1].name) == GBK
    again = text.parse(text.write(net), NetParameter())
    assert again == net
    assert r'name: "\321\320\276\277"' in text.write(net)


def test_upgrade_keeps_the_bytes(tmp_path):
    source, target = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    source.write_bytes(b"# " + GBK + b"\n" + PRODUCT % GBK)
    assert main(["upgrade", "net", str(source), str(target)]) == 0
    assert rb"\321\320\276\277" in target.read_bytes()
    model = tmp_path / "new.caffemodel"
    assert main(["upgrade", "net", str(target), str(model)]) == 0
    assert GBK in model.read_bytes()
    assert main(["upgrade", "net", str(model), str(source)]) == 0
    assert source.read_bytes() == target.read_bytes()


def test_solver_with_paths_in_gbk(tmp_path, monkeypatch):
    """Net, solver and prefix in a folder whose name is GBK, from the solver file to the snapshot and back."""
    monkeypatch.chdir(tmp_path)
    folder = Path(os.fsdecode(GBK))
    folder.mkdir()
    net = b'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 3 } } }\n'
    loss = b'layer { name: "l" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }'
    (folder / "net.prototxt").write_bytes(net + PRODUCT % GBK + loss)
    path = folder / "solver.prototxt"
    path.write_bytes(b'net: "%s/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 ' % GBK)
    with path.open("ab") as file:
        file.write(b'snapshot_prefix: "%s/s"' % GBK)
    assert main(["train", "--solver", str(path), "--cpu"]) == 0
    assert GBK in (folder / "s_iter_1.caffemodel").read_bytes()
    again = caffe.get_solver(path)
    again.restore(folder / "s_iter_1.solverstate")
    assert again.iter == 1
    other = Path(os.fsdecode(LATIN))
    assert main(["train", "--solver", str(path), "--cpu", "--out", str(other)]) == 0
    assert (other / "s_iter_1.caffemodel").is_file()


def test_paths_of_layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matrix = caffe.proto.caffe_pb2.BlobProto(channels=1, height=2, width=2, num=1, data=[1, 0, 0, 1])
    Path(os.fsdecode(LATIN)).write_bytes(matrix.SerializeToString())
    path = Path("net.prototxt")
    path.write_bytes(
        b'input: "x" input_shape { dim: 1 dim: 2 } input: "t" input_shape { dim: 1 }\n'
        b'layer { name: "l" type: "InfogainLoss" bottom: "x" bottom: "t" top: "l" '
        b'infogain_loss_param { source: "%s" } }' % LATIN
    )
    assert np.isfinite(caffe.Net(path, caffe.TEST).forward()["l"])
    path.write_bytes(
        b'input: "x" input_shape { dim: 1 dim: 2 }\n'
        b'layer { name: "m" type: "MatWrite" bottom: "x" mat_write_param { prefix: "%s_" } }' % GBK
    )
    caffe.Net(path, caffe.TEST).forward()
    assert Path(os.fsdecode(GBK + b"_iter_0_blob_0.mat")).is_file()


def test_state_names_weights_in_any_encoding():
    path = os.fsdecode(GBK)
    data = encode_state(State(3, learned_net=path))
    assert GBK in data
    assert decode_state(data, "s").learned_net == path


def test_solver_strings(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_bytes(b'net: "' + GBK + b'" # ' + LATIN)
    solver = text.read_solver(path)
    assert encoding.to_bytes(solver.net) == GBK
    assert encoding.parse(SolverParameter, encoding.serialize(solver)) == solver


def test_names_from_the_command_line(tmp_path, monkeypatch):
    """Arguments arrive as bytes, and file names leave as bytes, also where the terminal's encoding is UTF-8."""
    monkeypatch.chdir(tmp_path)
    net = NetParameter()
    net.layer.add(name=encoding.from_bytes(GBK), type="ReLU").blobs.add(data=[1.0]).shape.dim.append(1)
    Path("a.caffemodel").write_bytes(encode_net(net))
    names = b"%s=%s" % (GBK, LATIN)
    assert main(["weights", "rename", "a.caffemodel", "b.caffemodel", os.fsdecode(names)]) == 0
    assert LATIN in Path("b.caffemodel").read_bytes()
    source, target = os.fsdecode(GBK + b".prototxt"), os.fsdecode(GBK + b".svg")
    Path(source).write_bytes(INPUT)
    command = [sys.executable, "-m", "segcaffe", "draw", source, target]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, b"Drawing net to " + GBK + b".svg\n")
