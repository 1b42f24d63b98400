"""pycaffe's NCCL where each process has a GPU: on a device made of the host's memory, the communicator stood in for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe import device
from segcaffe.device import compat
from segcaffe.errors import DeviceError
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Solver
from tests import fake_gpu

SOLVER = """base_lr: 0.1 lr_policy: "fixed" random_seed: 1 train_net_param {
  layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
    shape { dim: 2 dim: 3 } shape { dim: 2 dim: 4 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
    inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" } } """


class Alike:
    """A communicator of processes that all have what this one has, and whose first has ones."""

    made: tuple[int, object, int] = (0, None, 0)

    def __init__(self, size: int, identity: object, rank: int) -> None:
        Alike.made = size, identity, rank
        self.size = size

    def allReduce(self, send: int, receive: int, count: int, kind: int, operation: int, stream: int) -> None:
        values = np.frombuffer((ctypes.c_char * (4 * count)).from_address(receive), np.float32)
        values *= self.size

    def bcast(self, buffer: int, count: int, kind: int, root: int, stream: int) -> None:
        np.frombuffer((ctypes.c_char * (4 * count)).from_address(buffer), np.float32)[...] = 1


@pytest.fixture(params=[bytes(range(120, 136)), tuple(range(-8, 8))], ids=["bytes", "numbers"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """GPU mode with NCCL, its id as CuPy gives it since version 14, and as before."""
    nccl = SimpleNamespace(
        NCCL_SUM=0, NCCL_FLOAT32=7, NCCL_FLOAT64=8, NcclCommunicator=Alike, get_unique_id=lambda: request.param
    )
    monkeypatch.setattr(fake_gpu.module.cuda, "nccl", nccl, raising=False)
    compat.substitute_gpu_module(fake_gpu.module)
    device.set_mode_gpu()
    yield request.param
    device.set_mode_cpu()
    compat.substitute_gpu_module(None)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)


def second_of_three() -> Solver:
    caffe.set_solver_count(3)
    caffe.set_solver_rank(1)
    return get_solver(parse(SOLVER, SolverParameter()))


def test_weights_are_the_first_ones_and_gradients_the_mean(gpu: object) -> None:
    solver = second_of_three()
    assert caffe.has_nccl()
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    size, identity, rank = Alike.made
    assert (size, rank) == (3, 1)
    assert identity == (gpu if isinstance(gpu, bytes) else bytes(number & 255 for number in gpu))  # type: ignore[attr-defined]
    nccl.bcast()
    assert all((blob.data == 1).all() for blob in solver.net.learnable_params)
    for blob in solver.net.learnable_params:
        blob.diff[...] = 6
    nccl.on_start()
    nccl(1)
    nccl.on_gradients_ready()
    for blob in solver.net.learnable_params:
        np.testing.assert_allclose(blob.diff, 6, rtol=1e-6)


def test_without_a_gpu_the_script_is_to_be_started_by_mpiexec() -> None:
    try:
        solver = second_of_three()
        with pytest.raises(DeviceError, match="start them by mpiexec"):
            caffe.NCCL(solver, "00")
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)
