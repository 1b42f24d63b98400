"""Files written by the original: read, and written again in the same layout."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.blob.proto import array_of
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.caffemodel import load_weights
from segcaffe.snapshot.solverstate import encode_state, load_state

CASES = ["adadelta_shared_a", "sgd_multistep_a"]


def _folder(golden: Path, case: str) -> Path:
    return golden / "snapshots" / case


def _arrays(net: NetParameter) -> dict[tuple[str, int], Any]:
    return {(layer.name, i): array_of(blob, "") for layer in net.layer for i, blob in enumerate(layer.blobs)}


@pytest.mark.parametrize("case", CASES)
def test_both_formats_hold_the_recorded_weights(golden: Path, case: str) -> None:
    folder = _folder(golden, case)
    record = np.load(folder / "record_h5.npz")
    for suffix in ("caffemodel", "caffemodel.h5"):
        arrays = _arrays(load_weights(folder / f"snap_iter_10.{suffix}"))
        for key in record.files:
            kind, _, place = key.partition("/")
            if kind == "weights_restored":
                layer, index = place.split("/")
                np.testing.assert_array_equal(arrays[layer, int(index)], record[key])


@pytest.mark.parametrize("case", CASES)
def test_both_formats_hold_the_same_state(golden: Path, case: str) -> None:
    folder = _folder(golden, case)
    binary, h5 = (load_state(folder / f"snap_iter_10.{suffix}") for suffix in ("solverstate", "solverstate.h5"))
    assert binary.iter == h5.iter == 10
    assert binary.current_step == h5.current_step
    assert h5.learned_net == binary.learned_net + ".h5" == "snap_iter_10.caffemodel.h5"
    for mine, theirs in zip(binary.history, h5.history, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("case", CASES)
def test_binary_state_is_written_byte_by_byte_as_the_original_does(golden: Path, case: str) -> None:
    path = _folder(golden, case) / "snap_iter_10.solverstate"
    state = load_state(path)
    assert encode_state(state) == path.read_bytes()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["caffemodel", "solverstate"])
def test_hdf5_is_written_in_the_original_layout(golden: Path, case: str, kind: str) -> None:
    h5py = pytest.importorskip("h5py")
    path = _folder(golden, case) / f"snap_iter_10.{kind}.h5"
    if kind == "caffemodel":
        data = hdf5.encode_net(load_weights(path.with_suffix("")))
    else:
        data = hdf5.encode_state(load_state(path))
    with h5py.File(path, "r") as theirs, h5py.File(io.BytesIO(data), "r") as mine:
        assert _layout(mine) == _layout(theirs)


def _layout(file: Any) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, ...]] = []

    def visit(path: str, item: Any) -> None:
        if not hasattr(item, "shape"):
            items.append((path,))
            return
        kind = item.id.get_type()
        items.append((path, item.shape, kind.get_class(), kind.get_size(), np.asarray(item[()]).tobytes()))

    file.visititems(visit)
    return items


def test_state_with_shapes_of_four_axes(shared: Path) -> None:
    state = load_state(shared / "models" / "v1_mnist_cifar" / "lenet_iter_10000.solverstate")
    assert (state.iter, state.learned_net) == (10000, "examples/mnist/lenet_iter_10000.caffemodel")
    assert [values.shape for values in state.history[:2]] == [(20, 1, 5, 5), (1, 1, 1, 20)]
    assert all(np.any(values) for values in state.history)


def test_real_weights_in_every_notation(shared: Path) -> None:
    paths = list((shared / "models").rglob("*.caffemodel*"))
    assert paths
    for path in paths:
        assert all(np.isfinite(values).all() for values in _arrays(load_weights(path)).values())
