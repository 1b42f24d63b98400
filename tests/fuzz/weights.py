"""Files of weights, solver states and means."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segcaffe.blob.proto import from_array
from segcaffe.convert import formats
from segcaffe.data.mean import read_mean_pixel
from segcaffe.data.transformer import read_mean
from segcaffe.proto import caffe_pb2, dialect
from segcaffe.proto.caffe_pb2 import BlobProto, NetParameter
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State
from tests.fuzz import structure
from tests.fuzz.kinds import Kind, single
from tests.fuzz.mutate import BINARY

Reader = Callable[[Path], None]


def _values(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _net() -> NetParameter:
    net = NetParameter(name="net")
    for name, kind in (("conv", "Convolution"), ("block/ip", "InnerProduct")):
        layer = net.layer.add(name=name, type=kind, bottom=["data"], top=[name])
        layer.blobs.extend(from_array(_values(*shape)) for shape in ((4, 3, 3, 3), (4,)))
    net.layer.add(name="interp", type="Interp").interp_param.height = 7
    net.layer.add(name="dist", type="Im2dist").im2dist_param.remove_bounds = True
    net.layer.add(name="loss", type="SoftmaxWithLoss", loss_weight=[0.5])
    return net


def _other_blobs() -> NetParameter:
    """Blobs in the old notation, with gradients, in double and in half precision."""
    net = NetParameter()
    blobs = net.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT).blobs
    blobs.add(num=1, channels=1, height=2, width=3, data=range(6), diff=range(6))
    blobs.add(double_data=[1.0, 2.0], double_diff=[3.0, 4.0]).shape.dim.append(2)
    half = np.ones(4, "<f2").tobytes()
    blobs.add(raw_data_type=caffe_pb2.RAW_FLOAT16, raw_data=half).shape.dim.append(4)
    return net


def _state() -> State:
    return State(10, 2, "snap_iter_10.caffemodel", [_values(4, 3, 3, 3), _values(4), _values(20)])


def _mean() -> bytes:
    return BlobProto(num=1, channels=3, height=4, width=5, data=_values(60)).SerializeToString()


def _packed() -> bytes:
    """Weights in the newest layout of HDF5, compressed in chunks."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="latest") as file:
        for index, shape in enumerate(((4, 3, 3, 3), (40,))):
            file.create_dataset(f"data/conv/{index}", data=_values(*shape), compression="gzip", shuffle=True)
    return memory.getvalue()


def _saved(suffix: str) -> bytes:
    """The net's weights as `formats.save` writes them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        formats.save(_net(), path)
        return path.read_bytes()


def _array(values: np.ndarray[Any, Any]) -> bytes:
    memory = io.BytesIO()
    np.save(memory, values)
    return memory.getvalue()


def _read_weights(name: str) -> Reader:
    def read(folder: Path) -> None:
        path = folder / name
        formats.arrays_of(formats.load(path), str(path))

    return read


def _read_means(folder: Path) -> None:
    read_mean_pixel(folder / "mean.npy", "mean")


_PROTOBUF = (*BINARY, *(structure.change_message,) * 10)
_HDF5 = (*BINARY, *(structure.change_hdf5,) * 8)

KINDS = {
    "caffemodel": Kind(
        single("net.caffemodel", lambda: [*(dialect.encode_net(_net(), name) for name in dialect.DIALECTS),
                                          _other_blobs().SerializeToString()]),
        _read_weights("net.caffemodel"), _PROTOBUF,
    ),
    "weights, HDF5": Kind(
        single("net.caffemodel.h5", lambda: [hdf5.encode_net(_net()), _packed()]),
        _read_weights("net.caffemodel.h5"), _HDF5,
    ),
    "weights, npz": Kind(
        single("net.npz", lambda: [_saved(".npz")]), _read_weights("net.npz"), (*BINARY, *(structure.change_zip,) * 16)
    ),
    "weights, safetensors": Kind(
        single("net.safetensors", lambda: [_saved(".safetensors")]), _read_weights("net.safetensors"),
        (*BINARY, *(structure.change_safetensors,) * 12),
    ),
    "solverstate": Kind(
        single("x.solverstate", lambda: [encode_state(_state())]), lambda folder: load_state(folder / "x.solverstate"),
        _PROTOBUF,
    ),
    "solverstate, HDF5": Kind(
        single("x.solverstate.h5", lambda: [hdf5.encode_state(_state())]),
        lambda folder: load_state(folder / "x.solverstate.h5"), _HDF5,
    ),
    "mean, binaryproto": Kind(
        single("mean.binaryproto", lambda: [_mean()]),
        lambda folder: read_mean(str(folder / "mean.binaryproto"), "mean"), _PROTOBUF,
    ),
    "mean, npy": Kind(
        single("mean.npy", lambda: [_array(_values(3, 4, 5)), _array(_values(3))]), _read_means,
        (*BINARY, *(structure.change_npy,) * 10),
    ),
}  # fmt: skip
