"""Weights and solver states as HDF5 files, in Caffe's layout.

Weights: ``/data/<layer>/<index>`` for each blob that its layer owns, ``/diff/<layer>/<index>`` for gradients where
they are stored. State: ``/iter`` and ``/current_step`` (one integer each), ``/learned_net`` (a string),
``/history/<index>``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.blob.proto import array_of, from_array, shape_of, values_of
from segcaffe.errors import WeightsError
from segcaffe.files.hdf5 import Budgets, Failure, h5py_module, read_text, read_values, reading
from segcaffe.proto.caffe_pb2 import BlobProto, LayerParameter, NetParameter
from segcaffe.proto.encoding import from_bytes
from segcaffe.snapshot.state import State
from segcaffe.text.digits import whole_number

Array = np.ndarray[Any, Any]
_WEIGHTS_BESIDE = " Give the .caffemodel.h5 that was written with it."
_STATE_BESIDE = " Give the .solverstate.h5 that was written with it."
_LONGEST_NAME = 1 << 20
_MESSAGE = 200
"""Bytes of a message without values: those of blobs whose numbers are lacking are filled in."""


def encode_net(net: NetParameter) -> bytes:
    """Return the bytes of an HDF5 file of weights; gradients too where the blobs have them."""
    return _encode(lambda file: _write_net(file, net))


def load_net(path: str | Path) -> NetParameter:
    """Return the layers of an HDF5 file of weights: their names and blobs, all that such a file knows.

    Where a layer shares a blob of another and the file therefore lacks it, an empty message takes its place.
    """
    net = NetParameter()
    with _open(path) as (file, budgets):
        if "data" not in file:
            received = f"a solver state.{_WEIGHTS_BESIDE}" if "history" in file else f"{sorted(file)}."
            raise WeightsError(f"{path}: an HDF5 file of weights has a group /data. Received: {received}")
        if not hasattr(file["data"], "visititems"):
            raise WeightsError(
                f"{path}: an HDF5 file of weights has a group /data. Received: a data set of that name, as the files "
                "that the layer HDF5Data reads have."
            )
        for name, blobs in _blobs_by_layer(file["data"], budgets).items():
            layer = net.layer.add(name=name)
            last = max(blobs)
            budgets.plain.take((last + 1) * _MESSAGE, f'the blob number {last} of layer "{name}", and those before it,')
            layer.blobs.extend(from_array(blobs[i]) if i in blobs else BlobProto() for i in range(last + 1))
    return net


def encode_state(state: State) -> bytes:
    """Return the bytes of a .solverstate.h5."""
    return _encode(lambda file: _write_state(file, state))


def load_state(path: str | Path) -> State:
    """Return the solver state in an HDF5 file."""
    with _open(path) as (file, budgets):
        missing = [name for name in ("iter", "history") if name not in file]
        if missing:
            received = f"weights.{_STATE_BESIDE}" if "data" in file else f"{sorted(file)}."
            raise WeightsError(f"{path}: a solver state in HDF5 has {missing[0]}. Received: {received}")
        history = file["history"]
        return State(
            iter=_integer(file["iter"], budgets),
            current_step=_integer(file["current_step"], budgets) if "current_step" in file else 0,
            learned_net=read_text(file["learned_net"], _LONGEST_NAME) if "learned_net" in file else "",
            history=[_numbers(history[key], budgets) for key in sorted(history, key=int)],
            minimum_loss=_real(file["minimum_loss"], budgets) if "minimum_loss" in file else None,
            iter_last_event=_integer(file["iter_last_event"], budgets) if "iter_last_event" in file else 0,
        )


def _write_net(file: Any, net: NetParameter) -> None:
    data = file.create_group("data")
    diff = file.create_group("diff") if any(_has_diff(blob) for layer in net.layer for blob in layer.blobs) else None
    shared: set[str] = set()
    for place, layer in enumerate(net.layer):
        if not layer.name and not layer.blobs:
            # A group has a name; this layer has nothing to keep.
            continue
        group = _group(data, layer, place)
        for index, blob in enumerate(layer.blobs):
            if _owns(layer, index, shared) and str(index) not in group:
                group.create_dataset(str(index), data=array_of(blob, f'layer "{layer.name}", blob {index}'))
            gradient = values_of(blob, "diff")
            if diff is not None and gradient is not None and f"{layer.name}/{index}" not in diff:
                diff.create_dataset(f"{layer.name}/{index}", data=gradient.reshape(shape_of(blob)))


def _group(data: Any, layer: LayerParameter, place: int) -> Any:
    """The group of a layer; WeightsError where its name can't be that of one."""
    try:
        if not layer.name:
            raise ValueError("it is empty")
        if "\0" in layer.name:
            # The library would cut it there.
            raise ValueError("it holds a zero byte")
        return data.require_group(layer.name)
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f'The name "{layer.name}" of layer {place} ({layer.type or "no type"}) cannot be kept in an HDF5 file: '
            f"{error}. Rename the layer, or write a .caffemodel."
        ) from error


def _owns(layer: LayerParameter, index: int, seen: set[str]) -> bool:
    """Whether the layer is the first to use the blob's name (or it has none): the others share it."""
    name = layer.param[index].name if index < len(layer.param) else ""
    first = name not in seen
    if name:
        seen.add(name)
    return first


def _has_diff(blob: BlobProto) -> bool:
    return bool(blob.diff or blob.double_diff)


def _blobs_by_layer(data: Any, budgets: Budgets) -> dict[str, dict[int, Array]]:
    """Return for each layer its arrays by index; a layer's name may contain slashes, that is, be several groups."""
    layers: dict[str, dict[int, Array]] = {}

    def visit(path: str | bytes, item: Any) -> None:
        # What is not UTF-8 comes out of h5py as bytes.
        layer, _, index = (from_bytes(path) if isinstance(path, bytes) else path).rpartition("/")
        number = whole_number(index)
        if hasattr(item, "shape") and number is not None:
            layers.setdefault(layer, {})[number] = _numbers(item, budgets)

    data.visititems(visit)
    return layers


def _write_state(file: Any, state: State) -> None:
    file.create_dataset("iter", data=np.array([state.iter], np.int32))
    file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
    _write_text(file, "learned_net", state.learned_net)
    if state.minimum_loss is not None:
        file.create_dataset("minimum_loss", data=np.array([state.minimum_loss], np.float32))
        file.create_dataset("iter_last_event", data=np.array([state.iter_last_event], np.int32))
    history = file.create_group("history")
    for index, values in enumerate(state.history):
        history.create_dataset(str(index), data=values)


def _write_text(file: Any, name: str, text: str) -> None:
    """Write a string as Caffe reads it: of fixed length, a zero byte at its end."""
    import h5py

    encoded = text.encode("utf-8", "surrogateescape") + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(encoded))
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # As h5py's own functions do: the same state makes the same file at any time.
    how.set_obj_track_times(False)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, space, how)
    dataset.write(space, space, np.array(encoded, dtype=f"S{len(encoded)}"), mtype=kind)


def _numbers(dataset: Any, budgets: Budgets) -> Array:
    """Return a data set of numbers, float64 kept, anything else as float32."""
    values = read_values(dataset, "fiu", budgets)
    return values if values.dtype == np.float64 else values.astype(np.float32)


def _integer(dataset: Any, budgets: Budgets) -> int:
    return int(_single(dataset, "iu", budgets))


def _real(dataset: Any, budgets: Budgets) -> float:
    return float(_single(dataset, "f", budgets))


def _single(dataset: Any, kinds: str, budgets: Budgets) -> Any:
    values = read_values(dataset, kinds, budgets).ravel()
    if values.size != 1:
        raise ValueError(f"{dataset.name} is no single number")
    return values[0]


def _encode(write: Callable[[Any], None]) -> bytes:
    h5py = h5py_module(_missing("to write"))
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        write(file)
    return memory.getvalue()


def _open(path: str | Path) -> AbstractContextManager[tuple[Any, Budgets]]:
    """Open an HDF5 file for reading; whatever is found wrong in it, then or later, is a WeightsError."""
    return reading(
        path,
        str(path),
        _missing(f"to read {path}"),
        lambda reason: WeightsError(f"{path}: the HDF5 file is damaged or not what it should be ({reason})."),
    )


def _missing(purpose: str) -> Failure:
    return lambda advice: WeightsError(f"HDF5 snapshots need the package h5py {purpose}. {advice}")
