"""Weights through every format and back; comparing, renaming, merging; damaged files; the command."""

from __future__ import annotations

import contextlib
import io
import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.cli.main import main
from segcaffe.convert import formats, safetensors, weights
from segcaffe.errors import WeightsError
from segcaffe.proto import caffe_pb2, dialect
from segcaffe.proto.caffe_pb2 import BlobProto, NetParameter

Array = np.ndarray[Any, Any]
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
    net.layer[0].blobs[1].CopyFrom(from_array(np.array([np.inf, 2, np.nan], np.float32)))
    lines = weights.table(net).splitlines()
    assert lines[0].split() == [
        "layer", "type", "blob", "shape", "dtype", "values", "mean", "std", "min", "max", "NaN",
    ]  # fmt: skip
    assert "2 x 3 x 1 x 4" in lines[1]
    assert lines[2].split()[-9:] == ["3", "2", "0", "2", "2", "1", "and", "1", "infinite"]
    assert lines[-1] == "3 layers, 9 blobs, 82 values (0.0 MiB)"


def _main(*arguments: str) -> int:
    return main(["weights", *arguments])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    formats.save(_net(), "a.caffemodel")
    assert _main("convert", "a.caffemodel", "a.safetensors") == 0
    assert _main("diff", "a.caffemodel", "a.safetensors") == 0
    assert capsys.readouterr().out == "The files hold the same weights.\n"
    assert _main("rename", "a.safetensors", "b.npz", "conv1=conv9") == 0
    assert _main("diff", "a.caffemodel", "b.npz") == 1
    assert capsys.readouterr().out.endswith("Differing: 6 blobs.\n")
    assert _main("merge", "a.caffemodel", "b.npz", "--out", "c.caffemodel.h5") == 0
    assert _main("show", "c.caffemodel.h5") == 0
    assert "conv9" in capsys.readouterr().out
    assert _main("rename", "a.safetensors", "b.npz", "conv1") == 2
    assert "given as OLD=NEW. Received: conv1" in capsys.readouterr().err


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    formats.save(_net(0, ["conv1", "conv2", "fc"]), "a.npz")
    formats.save(_net(1, ["conv1", "fc"]), "b.npz")
    assert _main("rename", "a.npz", "renamed.npz", "conv*=stem/*_new", "fc=head") == 0
    assert [layer.name for layer in formats.load("renamed.npz").layer][:3] == ["stem/1_new", "stem/2_new", "head"]
    assert _main("merge", "a.npz", "b.npz::f*", "--out", "merged.npz") == 0
    merged = formats.load("merged.npz")
    assert [layer.name for layer in merged.layer] == ["conv1", "conv2", "fc"]
    first, second = (formats.arrays_of(formats.load(path), "") for path in ("a.npz", "b.npz"))
    np.testing.assert_array_equal(formats.arrays_of(merged, "")["conv1/0"], first["conv1/0"])
    np.testing.assert_array_equal(formats.arrays_of(merged, "")["fc/0"], second["fc/0"])
    with pytest.raises(WeightsError, match=r'No layer with weights fits "x\*"\. Their names: conv1'):
        weights.select(merged, "x*")


def test_dialects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    net = _net()
    interp = net.layer.add(name="interp", type="Interp", bottom=["a"], top=["b"])
    interp.interp_param.height = 7
    formats.save(net, "a.caffemodel", "v2")
    assert dialect.decode_net(Path("a.caffemodel").read_bytes())[1] == "v2"
    for suffix in ("npz", "safetensors", "caffemodel"):
        assert _main("convert", "a.caffemodel", f"b.{suffix}") == 0
        assert _main("convert", f"b.{suffix}", "c.caffemodel") == 0
        assert Path("c.caffemodel").read_bytes() == Path("a.caffemodel").read_bytes()
    assert _main("convert", "b.npz", "d.caffemodel", "--to", "v1") == 0
    assert dialect.decode_net(Path("d.caffemodel").read_bytes())[1] == "v1"
    assert formats.load("d.caffemodel").layer[-1].interp_param.height == 7
    assert _main("show", "a.caffemodel") == 0
    assert capsys.readouterr().out.endswith("dialect: v2\n")


def _half_precision(values: Array) -> BlobProto:
    """A blob as NVCaffe writes it."""
    blob = BlobProto(raw_data_type=caffe_pb2.RAW_FLOAT16, raw_data=values.astype("<f2").tobytes())
    blob.shape.dim.extend(values.shape)
    return blob


def test_half_precision_is_read(tmp_path: Path) -> None:
    values = np.array([[1.5, -2], [0.25, 1e-7]])
    net = NetParameter()
    net.layer.add(name="ip", type="InnerProduct").blobs.append(_half_precision(values))
    (tmp_path / "a.caffemodel").write_bytes(net.SerializeToString())
    # The bytes as OpenCV's importer for NVCaffe's files reads them: type (field 10) 2, values in field 12.
    assert b"\x50\x02\x62\x08\x00\x3e\x00\xc0" in (tmp_path / "a.caffemodel").read_bytes()
    loaded = formats.load(tmp_path / "a.caffemodel")
    assert weights.entries(loaded)[0].dtype == "float16"
    expected = values.astype(np.float16).astype(np.float32)
    for suffix in SUFFIXES:
        formats.save(loaded, tmp_path / f"b.{suffix}")
        found = formats.arrays_of(formats.load(tmp_path / f"b.{suffix}"), "")["ip/0"]
        np.testing.assert_array_equal(found, expected)
    net.layer[0].blobs[0].raw_data += b"x"
    assert formats.arrays_of(net, "")["ip/0"].shape == (2, 2)
    net.layer[0].blobs[0].raw_data = b"x"
    with pytest.raises(WeightsError, match=r"holds 0 values for shape \(2, 2\)"):
        formats.arrays_of(net, "")


def test_what_is_wrong_with_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{"a/0": np.array(["text"])})
    with pytest.raises(WeightsError, match="weights are numbers"):
        formats.load(path)
    formats.save(_net(), path)
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"conv1/0": np.zeros(3, np.float32)}))
    with pytest.raises(WeightsError, match=r'"conv1/0", of shape \(3,\), is not in the net stored beside it'):
        formats.load(path)
    with zipfile.ZipFile(path, "w") as file:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50,)})
        file.writestr("a/0.npy", header.getvalue())
    with pytest.raises(WeightsError, match="fewer values than its shape"):
        formats.load(path)


def test_layers_named_alike_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='2 layers with weights are called "a"'):
        formats.save(_net(names=["a", "a"]), tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b"])
def test_layers_whose_arrays_would_leave_the_archive_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="would lead out of the archive"):
        formats.save(_net(names=[name]), tmp_path / "a.npz")
    formats.save(_net(names=[name]), tmp_path / "a.caffemodel")
    assert formats.load(tmp_path / "a.caffemodel").layer[0].name == name
