"""Every published file of weights through each format and dialect and back: bit-equal, and usable afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.convert import formats
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.dialect import FAMILIES, decode_net, encode_net
from tests.conftest import shared_files

FILES = sorted([*shared_files("models/*/*.caffemodel*"), *shared_files("golden/snapshots/*/*.caffemodel*")])
TEXT = ("npz", "safetensors")
BACK = ("caffemodel", "caffemodel.h5", *TEXT)
files = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")


def _assert_same_bits(found: NetParameter, expected: NetParameter) -> None:
    mine, theirs = formats.arrays_of(found, ""), formats.arrays_of(expected, "")
    assert set(mine) == set(theirs)
    for key, values in theirs.items():
        assert mine[key].shape == values.shape, key
        assert mine[key].tobytes() == values.tobytes(), key


@files
@pytest.mark.parametrize("suffix", BACK)
def test_format_and_back(path: Path, suffix: str, tmp_path: Path) -> None:
    net, dialect = formats.load_with_dialect(path)
    formats.save(net, tmp_path / f"there.{suffix}", dialect)
    there, kept = formats.load_with_dialect(tmp_path / f"there.{suffix}")
    formats.save(there, tmp_path / f"back{path.suffix}", kept)
    back, _ = formats.load_with_dialect(tmp_path / f"back{path.suffix}")
    shared_blobs = suffix == "caffemodel.h5" or path.suffix == ".h5"
    _assert_same_bits(back, _owned(net) if shared_blobs else net)
    if suffix in ("caffemodel", *TEXT):
        assert back == net


def _owned(net: NetParameter) -> NetParameter:
    """The net without blobs that a layer shares with an earlier one, which HDF5 files leave out."""
    owned, seen = NetParameter(), set()
    owned.CopyFrom(net)
    for layer in owned.layer:
        for index, spec in enumerate(layer.param[: len(layer.blobs)]):
            if spec.name in seen:
                layer.blobs[index].Clear()
            seen.add(spec.name or None)
        seen.discard(None)
    return owned


@files
@pytest.mark.parametrize("dialect", [*FAMILIES, "ssd", "nvidia", "segnet"])
def test_dialect_and_back(path: Path, dialect: str) -> None:
    net, _ = formats.load_with_dialect(path)
    for given in (dialect, None):
        back, found = decode_net(encode_net(net, dialect), given)
        _assert_same_bits(back, net)
        if given or found == dialect:
            assert back == net


@pytest.mark.parametrize("suffix", BACK)
def test_converted_old_weights_load_into_the_net(shared: Path, suffix: str, tmp_path: Path) -> None:
    folder = shared / "models" / "v1_mnist_cifar"
    net = Net(folder / "lenet.prototxt", phase=caffe_pb2.TEST, weights=folder / "lenet_iter_10000.caffemodel")
    formats.save(formats.load(folder / "lenet_iter_10000.caffemodel"), tmp_path / f"a.{suffix}")
    other = Net(folder / "lenet.prototxt", phase=caffe_pb2.TEST)
    other.copy_trained_layers(formats.load(tmp_path / f"a.{suffix}"))
    for mine, theirs in zip(other.learnable_params, net.learnable_params, strict=True):
        assert mine.data.tobytes() == theirs.data.tobytes()
