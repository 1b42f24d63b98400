"""Small whole files of every kind, and what reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segcaffe.blob.proto import from_array
from segcaffe.convert import formats
from segcaffe.data.transformer import read_mean
from segcaffe.graph.graph import build_graph
from segcaffe.graph.rules import net_state
from segcaffe.proto import caffe_pb2, dialect
from segcaffe.proto.caffe_pb2 import TRAIN, BlobProto, NetParameter
from segcaffe.proto.text import read_net, read_solver
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State

NET = """
# A net with most of what the text format has.
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 0x4 input_dim: 010
layer { name: 'conv' type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1. } param: < lr_mult: .5e+1 >
  convolution_param { num_output: 2 kernel_size: [3, 3], pad: 1; weight_filler { type: "xav" "ier" value: -inf } } }
layer { name: "relu\\x41\\101" type: "ReLU" bottom: "conv" top: "conv" include { phase: TRAIN stage: "a" } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 axis: -3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" loss_weight: 0.5 }
"""
OLD_NET = """
name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 blobs_lr: 1. } bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
"""
V1_NET = """
layers { name: "data" type: DATA top: "data" data_param { source: "x" scale: 0.1 batch_size: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2 weight_decay: 0
  inner_product_param { num_output: 5 } }
"""
SOLVER = """
net: "net.prototxt" test_iter: 10 test_interval: 100 base_lr: 0.01 lr_policy: "multistep" gamma: 0.1
stepvalue: 10 stepvalue: 20 max_iter: 30 momentum: 0.9 solver_type: ADAM snapshot_format: HDF5 random_seed: 1701
test_state: { stage: "a" } net_param { name: "x" layer { name: "a" type: "Silence" } }
"""


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


def seeds() -> dict[str, list[bytes]]:
    """Whole files of each kind."""
    return {
        "caffemodel": [*(dialect.encode_net(_net(), name) for name in dialect.DIALECTS),
                       _other_blobs().SerializeToString()],
        "solverstate": [encode_state(_state())],
        "binaryproto": [_mean()],
        "caffemodel.h5": [hdf5.encode_net(_net()), _packed()],
        "solverstate.h5": [hdf5.encode_state(_state())],
        "net.prototxt": [NET.encode(), OLD_NET.encode(), V1_NET.encode()],
        "solver.prototxt": [SOLVER.encode()],
    }  # fmt: skip


def _read_weights(path: Path) -> None:
    formats.arrays_of(formats.load(path), str(path))


def _read_net(path: Path) -> None:
    build_graph(read_net(path, {}), net_state(TRAIN))


READERS: dict[str, Callable[[Path], object]] = {
    "caffemodel": _read_weights,
    "solverstate": load_state,
    "binaryproto": lambda path: read_mean(str(path), "mean"),
    "caffemodel.h5": _read_weights,
    "solverstate.h5": load_state,
    "net.prototxt": _read_net,
    "solver.prototxt": lambda path: read_solver(path, {}),
}

__all__ = ["READERS", "seeds"]
