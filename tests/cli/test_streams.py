"""Names that are no text on standard output and error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segcaffe.cli.main import main
from segcaffe.cli.streams import streams_of_bytes
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.encoding import from_bytes, serialize
from segcaffe.proto.text import write
from tests.conftest import ROOT

NAME = b"\xc8\xab\xc1\xac\xbd\xd3"
"""A name in GBK; its first two bytes are a letter in UTF-8 as well."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    net = NetParameter()
    blob = net.layer.add(name=from_bytes(NAME), type="Scale").blobs.add(data=[1.0])
    blob.shape.dim.append(1)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(serialize(net))
    return path


def test_results_have_the_bytes_of_names(weights: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["weights", "show", str(weights)]) == 0
    assert NAME in capfdbinary.readouterr().out


def test_errors_have_the_bytes_of_names(
    weights: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text('input: "x" input_shape { dim: 1 dim: 1 } layer { name: "s" type: "Scale" bottom: "x" top: "x" }')
    assert main(["test", "--model", str(net), "--weights", str(weights), "--iterations", "1"]) == 2
    assert NAME in capfdbinary.readouterr().err


def test_what_a_terminal_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with streams_of_bytes():
        print(f"{from_bytes(NAME)} \udcbd …")
        sys.stdout.flush()
    assert raw.getvalue() == b"\\u022b\xc1\xac\xbd\xd3 \xbd \\u2026\n"


def test_blobs_are_named_by_their_bytes(tmp_path: Path) -> None:
    net = NetParameter()
    net.layer.add(name="d", type="DummyData", top=[from_bytes(NAME)]).dummy_data_param.shape.add(dim=[2, 3])
    (tmp_path / "net.prototxt").write_text(write(net))
    layer = NetParameter()
    layer.layer.add(name="other", type="Scale").blobs.add(data=[1.0])
    (tmp_path / "net.caffemodel").write_bytes(serialize(layer))
    files = [str(tmp_path / name) for name in ("net.caffemodel", "net.prototxt")]
    arguments = [
        "features",
        *files,
        os.fsdecode(NAME),
        str(tmp_path / "out.npz"),
        "--iterations",
        "1",
        "--allow-partial",
    ]
    assert main(arguments) == 0
    assert (tmp_path / "out.npz").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words", [["completion", "bash"], ["net", str(ROOT / "configs" / "tiny" / "plain_deploy.prototxt")]]
)
def test_a_full_disk_under_the_output_is_told_of(words: list[str]) -> None:
    command = [sys.executable, "-m", "segcaffe.cli.main", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        assert done.returncode == 2
        told = " ".join(done.stderr.split())
        assert told.endswith("the output cannot be written: the disk is full (No space left on device).")
        assert "Traceback" not in told
        # Nobody can be told of errors whose place is full, and nothing is worse for it.
        assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=full, cwd=ROOT).returncode == 0
