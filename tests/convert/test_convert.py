"""Weights through every format and back; comparing, renaming, merging; damaged files; the command."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.cli import weights as command
from segcaffe.convert import formats, safetensors, weights
from segcaffe.errors import WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter

SUFFIXES = ["caffemodel", "caffemodel.h5", "npz", "safetensors"]


def _net(seed: int = 0, names: Sequence[str] = ("conv1", "res2a/branch", "z")) -> NetParameter:
    rng = np.random.default_rng(seed)
    net = NetParameter(name="net")
    for name in names:
        layer = net.layer.add(name=name, type="Convolution")
        layer.blobs.extend(from_array(rng.standard_normal(s).astype(np.float32)) for s in ((2, 3, 1, 4), (2,), ()))
    net.layer.add(name="loss", type="SoftmaxWithLoss")
    return net


def _same(first: NetParameter, second: NetParameter) -> bool:
    mine, theirs = formats.arrays_of(first, ""), formats.arrays_of(second, "")
    return mine.keys() == theirs.keys() and all(
        np.array_equal(mine[key], theirs[key]) and mine[key].shape == theirs[key].shape for key in mine
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.product(SUFFIXES, SUFFIXES)))
def test_any_format_to_any_other(tmp_path: Path, first: str, second: str) -> None:
    net = _net()
    formats.save(net, tmp_path / f"a.{first}")
    formats.save(formats.load(tmp_path / f"a.{first}"), tmp_path / f"b.{second}")
    assert _same(formats.load(tmp_path / f"b.{second}"), net)


def test_safetensors_keep_names_types_and_doubles(tmp_path: Path) -> None:
    net = _net()
    net.layer[0].blobs[0].CopyFrom(from_array(np.array([np.pi, 1e300])))
    formats.save(net, tmp_path / "a.safetensors")
    back = formats.load(tmp_path / "a.safetensors")
    assert (back.name, back.layer[0].type) == ("net", "Convolution")
    assert list(back.layer[0].blobs[0].double_data) == [np.pi, 1e300]


def test_safetensors_of_half_precision() -> None:
    half = np.array([1.5, -2.0], "<f2").tobytes()
    brain = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    header = (
        b'{"a/0":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},'
        b'"b/0":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}'
    )
    arrays, _ = safetensors.decode(len(header).to_bytes(8, "little") + header + half + brain, "x")
    for values in arrays.values():
        np.testing.assert_array_equal(values, [1.5, -2.0])
        assert values.dtype == np.float32


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(25))
def test_damaged_files_are_errors_of_ours(tmp_path: Path, suffix: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / f"a.{suffix}"
    formats.save(_net(), path)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, min(len(data), 600), 8):
        data[at] = int(rng.integers(0, 256))
    path.write_bytes(data[: int(rng.integers(1, len(data) + 1))])
    with contextlib.suppress(WeightsError):
        formats.load(path)


ENTRY = '{"a":{"dtype":"%s","shape":[%d],"data_offsets":[0,4]}}'


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        ("[]", "", "header is no table"),
        ("{x", "", "header is no JSON"),
        ('{"a":1}', "", 'the entry of "a" is incomplete'),
        (ENTRY % ("F32", 1), "", "lie outside it"),
        (ENTRY % ("C64", 1), "1234", "has dtype C64; known: F64"),
        (ENTRY % ("F32", 2), "1234", "has 4 bytes for shape"),
        ('{"__metadata__":[]}', "", "its metadata is no table"),
    ],
)
def test_what_is_wrong_with_safetensors(header: str, body: str, message: str) -> None:
    data = len(header).to_bytes(8, "little") + header.encode() + body.encode()
    with pytest.raises(WeightsError, match=f"w: .*{message}"):
        safetensors.decode(data, "w")


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x09\0\0\0\0\0\0\0{}"])
def test_truncated_safetensors(data: bytes) -> None:
    with pytest.raises(WeightsError, match="header is longer than the file"):
        safetensors.decode(data, "w")


def test_names_of_arrays_are_checked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", conv1=np.zeros(2, np.float32))
    with pytest.raises(WeightsError, match=r'called <layer>/<index>, as conv1/0\. Received: "conv1"'):
        formats.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{"conv1/1": np.zeros(2, np.float32)})
    with pytest.raises(WeightsError, match=r'of layer "conv1" must be 0, 1, \.\.\. Received: \[1\]'):
        formats.load(tmp_path / "b.npz")


def test_differences() -> None:
    first, second = _net(), _net()
    assert weights.differences(first, second) == []
    values = np.array([1.0, 2.0], np.float32)
    first.layer[0].blobs[1].CopyFrom(from_array(values))
    second.layer[0].blobs[1].CopyFrom(from_array(values + np.array([0, 0.5], np.float32)))
    second.layer[1].blobs[0].CopyFrom(from_array(np.zeros((2, 3), np.float32)))
    second.layer[2].name = "other"
    found = weights.differences(first, second)
    assert [(d.blob, d.kind) for d in found] == [
        ("conv1/1", "values"),
        ("res2a/branch/0", "shape"),
        *[(f"z/{i}", "only in first") for i in range(3)],
        *[(f"other/{i}", "only in second") for i in range(3)],
    ]
    assert (found[0].largest, found[0].relative) == (0.5, 0.25)
    assert weights.differences(first, second, tolerance=0.5)[0].kind == "shape"


def test_nan_differs_from_numbers_but_not_from_itself() -> None:
    nets = []
    for values in ([1.0, np.nan], [1.0, 2.0]):
        net = NetParameter()
        net.layer.add(name="a").blobs.append(from_array(np.array(values, np.float32)))
        nets.append(net)
    assert weights.differences(nets[0], nets[0]) == []
    assert weights.differences(*nets, tolerance=1e9)[0].largest == np.inf


def test_rename() -> None:
    renamed = weights.rename(_net(), {"conv1": "conv1_new", "z": "conv1"})
    assert [layer.name for layer in renamed.layer] == ["conv1_new", "res2a/branch", "conv1", "loss"]
    with pytest.raises(WeightsError, match=r'no layer "conv2"\. Did you mean "conv1"\?'):
        weights.rename(_net(), {"conv2": "x"})
    with pytest.raises(WeightsError, match='Two layers would be called "z"'):
        weights.rename(_net(), {"conv1": "z"})
    with pytest.raises(WeightsError, match='Two layers would be called "y"'):
        weights.rename(_net(), {"conv1": "y", "z": "y"})


def test_merge_lets_the_last_prevail() -> None:
    first, second = _net(1, ["a", "b"]), _net(2, ["b", "c"])
    merged = weights.merge([first, second])
    assert [layer.name for layer in merged.layer] == ["a", "b", "c"]
    arrays = formats.arrays_of(merged, "")
    np.testing.assert_array_equal(arrays["b/0"], formats.arrays_of(second, "")["b/0"])
    np.testing.assert_array_equal(arrays["a/0"], formats.arrays_of(first, "")["a/0"])


def test_table_shows_what_is_not_finite() -> None:
    net = _net()
    net.layer[0].blobs[1].CopyFrom(from_array(np.array([np.inf, 0], np.float32)))
    lines = weights.table(net).splitlines()
    assert lines[0].split() == ["layer", "type", "blob", "shape", "values", "mean", "std", "min", "max"]
    assert "2 x 3 x 1 x 4" in lines[1]
    assert lines[2].endswith("NOT FINITE")
    assert lines[-1] == "3 layers, 9 blobs, 81 values (0.0 MiB)"


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    formats.save(_net(), "a.caffemodel")
    assert _run("convert", "a.caffemodel", "a.safetensors") == 0
    assert _run("diff", "a.caffemodel", "a.safetensors") == 0
    assert capsys.readouterr().out == "The files hold the same weights.\n"
    assert _run("rename", "a.safetensors", "b.npz", "conv1=conv9") == 0
    assert _run("diff", "a.caffemodel", "b.npz") == 1
    assert capsys.readouterr().out.endswith("6 blobs differ.\n")
    assert _run("merge", "a.caffemodel", "b.npz", "--out", "c.caffemodel.h5") == 0
    assert _run("show", "c.caffemodel.h5") == 0
    assert "conv9" in capsys.readouterr().out
    with pytest.raises(WeightsError, match=r"given as OLD=NEW\. Received: conv1"):
        _run("rename", "a.safetensors", "b.npz", "conv1")


def test_real_weights_survive_every_format(shared: Path, tmp_path: Path) -> None:
    (path,) = sorted((shared / "golden" / "snapshots").glob("sgd_*/*.caffemodel"))
    net = formats.load(path)
    for suffix in SUFFIXES:
        formats.save(net, tmp_path / f"a.{suffix}")
        assert weights.differences(net, formats.load(tmp_path / f"a.{suffix}")) == []
