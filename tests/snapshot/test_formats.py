"""Weights and solver states: round trips in both formats, damaged files, the original's layout."""

from __future__ import annotations

import builtins
import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.blob.proto import array_of, to_proto
from segcaffe.errors import WeightsError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.caffemodel import load_weights, save_weights
from segcaffe.snapshot.files import write_file
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State

RNG = np.random.default_rng(3)
SUFFIXES = ["caffemodel", "caffemodel.h5"]


def _blob(*shape: int) -> Blob:
    blob = Blob(shape)
    blob.data[...] = RNG.standard_normal(shape)
    blob.diff[...] = RNG.standard_normal(shape)
    return blob


def _net(write_diff: bool = False) -> NetParameter:
    net = NetParameter(name="n")
    for name in ("conv1", "inception_3a/1x1", "inception_3a/3x3"):
        layer = net.layer.add(name=name, type="Convolution")
        layer.blobs.extend(to_proto(_blob(*shape), write_diff) for shape in ((2, 3, 4, 5), (2,)))
    net.layer.add(name="scalar", type="Scale").blobs.append(to_proto(_blob(), write_diff))
    net.layer.add(name="loss", type="SoftmaxWithLoss")
    return net


def _arrays(net: NetParameter) -> dict[tuple[str, int], np.ndarray[Any, Any]]:
    return {(layer.name, i): array_of(blob, "") for layer in net.layer for i, blob in enumerate(layer.blobs)}


def _state() -> State:
    history = [RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (4,), (1,))]
    return State(iter=12, current_step=3, learned_net="dir/snap_iter_12.caffemodel", history=history * 5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("write_diff", [False, True])
def test_weights_round_trip(tmp_path: Path, suffix: str, write_diff: bool) -> None:
    net, path = _net(write_diff), tmp_path / f"w.{suffix}"
    save_weights(net, path)
    # The name says nothing: the first bytes do.
    other = path.rename(tmp_path / "renamed.bin")
    want, got = _arrays(net), _arrays(load_weights(other))
    assert want.keys() == got.keys()
    for key, values in want.items():
        np.testing.assert_array_equal(got[key], values)
        assert got[key].shape == values.shape


@pytest.mark.parametrize("suffix", ["solverstate", "solverstate.h5"])
def test_state_round_trip(tmp_path: Path, suffix: str) -> None:
    state, path = _state(), tmp_path / "s.bin"
    write_file(path, hdf5.encode_state(state) if suffix.endswith("h5") else encode_state(state))
    got = load_state(path)
    assert (got.iter, got.current_step, got.learned_net) == (12, 3, state.learned_net)
    assert len(got.history) == 15  # two digits: 10 comes behind 9, not behind 1
    for mine, theirs in zip(got.history, state.history, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_shared_blobs_are_stored_once_in_hdf5(tmp_path: Path) -> None:
    net = NetParameter()
    for name in ("a", "b"):
        layer = net.layer.add(name=name)
        layer.param.add(name="w")
        layer.param.add()
        layer.blobs.extend(to_proto(_blob(2)) for _ in range(2))
    save_weights(net, tmp_path / "w.h5")
    a, b = load_weights(tmp_path / "w.h5").layer
    assert [len(a.blobs), len(b.blobs)] == [2, 2]
    assert b.blobs[0].ByteSize() == 0
    np.testing.assert_array_equal(array_of(b.blobs[1], ""), array_of(net.layer[1].blobs[1], ""))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [0, 3, 40, 300])
def test_truncated_weights_are_an_error(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"w.{suffix}"
    save_weights(_net(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=f"{path.name}: "):
        load_weights(path)


@pytest.mark.parametrize("suffix", ["solverstate", "solverstate.h5"])
@pytest.mark.parametrize("keep", [0, 5, 60])
def test_truncated_state_is_an_error(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"s.{suffix}"
    state = _state()
    data = hdf5.encode_state(state) if suffix.endswith("h5") else encode_state(state)
    path.write_bytes(data[:keep])
    with pytest.raises(WeightsError, match=f"{path.name}: "):
        load_state(path)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_escape_as_other_errors(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for suffix, data in (("bin", encode_state(_state())), ("h5", hdf5.encode_state(_state()))):
        damaged = bytearray(data)
        for at in rng.integers(8, len(data), 20):
            damaged[at] ^= int(rng.integers(1, 256))
        path = tmp_path / f"s.{suffix}"
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            load_state(path)


def test_wrong_kind_of_hdf5(tmp_path: Path) -> None:
    save_weights(_net(), tmp_path / "w.h5")
    with pytest.raises(WeightsError, match=r"HDF5 has iter\. Received: weights\. Give the \.solverstate"):
        load_state(tmp_path / "w.h5")
    write_file(tmp_path / "s.h5", hdf5.encode_state(_state()))
    with pytest.raises(WeightsError, match=r"an HDF5 file of weights has a group /data"):
        load_weights(tmp_path / "s.h5")


def test_data_sets_in_place_of_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"], file["label"] = np.zeros((2, 3)), np.zeros(2)
    with pytest.raises(WeightsError, match=r"Received: a data set of that name, as the files that the layer HDF5Data"):
        load_weights(tmp_path / "train.h5")


def test_a_huge_number_of_a_blob_claims_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/ip/99999999999"] = np.zeros(3)
    with pytest.raises(WeightsError, match=r"the blob number 99999999999"):
        load_weights(tmp_path / "w.h5")


def test_a_layer_without_name_and_blobs_is_left_out_of_hdf5(tmp_path: Path) -> None:
    net = _net()
    net.layer.add(type="HDF5Data")
    save_weights(net, tmp_path / "a.h5")
    assert _arrays(load_weights(tmp_path / "a.h5")).keys() == _arrays(_net()).keys()


@pytest.mark.parametrize(("name", "reason"), [("", "it is empty"), ("ip/0", "0"), ("a\0b", "a zero byte")])
def test_names_that_hdf5_cannot_keep_are_an_error(tmp_path: Path, name: str, reason: str) -> None:
    net = NetParameter()
    net.layer.add(name="ip").blobs.append(to_proto(_blob(2)))
    net.layer.add(name=name, type="Scale").blobs.append(to_proto(_blob(2)))
    (tmp_path / "a.h5").write_bytes(b"before")
    with pytest.raises(WeightsError, match=r"of layer 1 \(Scale\) cannot be kept in an HDF5 file: .*Rename") as error:
        save_weights(net, tmp_path / "a.h5")
    assert reason in str(error.value)
    assert (tmp_path / "a.h5").read_bytes() == b"before"


def test_without_h5py_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "h5py":
            raise ImportError("No module named 'h5py'")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WeightsError, match=r"h5py to write\. Install it: pip install h5py"):
        save_weights(_net(), tmp_path / "w.h5")
