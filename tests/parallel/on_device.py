"""NCCL's part on a device made of the host's memory, with a stand-in for its communicator: run by mpiexec.

With the argument ``train`` solvers train on the device and are held against the CPU's; kernels are compiled by g++.
"""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.device import compat, cublas, cublas_library
from segcaffe.parallel import Group, together
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import parse
from segcaffe.solver.registry import get_solver
from tests import fake_gpu
from tests.gpu import host

KINDS = {7: np.float32, 8: np.float64}
NET = """
layer { name: "noise" type: "DummyData" top: "data" top: "target" dummy_data_param {
  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 } data_filler { type: "constant" value: %d }
  data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 5 max_iter: 9 train_net_param { %s }'


class StandIn:
    """What CuPy's NcclCommunicator does, done by MPI on the memory that the pointers lead to."""

    made = 0

    def __init__(self, size: int, identity: bytes, rank: int) -> None:
        from mpi4py import MPI

        assert identity == b"the id of rank 0"
        self.comm = MPI.COMM_WORLD.Dup()
        assert (self.comm.Get_size(), self.comm.Get_rank()) == (size, rank)
        StandIn.made += 1

    def allReduce(self, send: int, receive: int, count: int, kind: int, operation: int, stream: int) -> None:
        assert send == receive
        assert operation == 0
        from mpi4py import MPI

        self.comm.Allreduce(MPI.IN_PLACE, _memory(receive, count, kind))

    def bcast(self, buffer: int, count: int, kind: int, root: int, stream: int) -> None:
        self.comm.Bcast(_memory(buffer, count, kind), root)


def _memory(address: int, count: int, kind: int) -> np.ndarray[Any, Any]:
    dtype = np.dtype(KINDS[kind])
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)


def install(rank: int) -> None:
    """GPU mode on the stand-ins; only rank 0 makes the id."""
    fake_gpu.module.cuda.nccl = SimpleNamespace(
        NCCL_SUM=0, NCCL_FLOAT32=7, NCCL_FLOAT64=8, NcclCommunicator=StandIn,
        get_unique_id=lambda: b"the id of rank 0" if rank == 0 else b"another",
    )  # fmt: skip
    fake_gpu.module.RawModule = host.HostModule  # type: ignore[attr-defined]
    cublas_library.address = lambda: 7  # type: ignore[assignment]
    cublas._library = host.HostBlas  # type: ignore[assignment]
    compat.substitute_gpu_module(fake_gpu.module)
    device.set_mode_gpu()


def arrays(ranks: Group) -> None:
    """Means and broadcasts of device arrays never pass the host."""
    for dtype in (np.float32, np.float64):
        values = device.to_device(np.arange(5, dtype=dtype) * (ranks.rank + 1))
        before = fake_gpu.module.copies.copy()
        waits = [ranks.start_average_(values[:3]), ranks.start_average_(values[3:])]
        for wait in waits:
            wait()
        assert fake_gpu.module.copies == before
        np.testing.assert_allclose(device.to_host(values), np.arange(5) * 1.5)
        ranks.broadcast_(values)
        mine = device.to_device(np.full(4, ranks.rank, dtype))
        ranks.broadcast_(mine)
        assert not device.to_host(mine).any()
    assert StandIn.made == 1


def train(ranks: Group) -> None:
    """Several ranks on devices learn what they learn on CPUs."""
    found = []
    for mode in (device.set_mode_cpu, device.set_mode_gpu):
        mode()
        # The ranks' nets differ only in a filler of data, which the check of nets would refuse.
        solver = get_solver(parse(SOLVER % (NET % 2), SolverParameter()))
        solver.net.layers[0].param.dummy_data_param.data_filler[0].value = ranks.rank
        solver.step(3)
        found.append([blob.data.copy() for blob in (*solver.net.learnable_params, *solver.history)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert StandIn.made == 1


def main() -> None:
    with together(command="on_device") as ranks:
        assert ranks.size == 2
        install(ranks.rank)
        arrays(ranks)
        if "train" in sys.argv:
            train(ranks)
        device.set_mode_cpu()


if __name__ == "__main__":
    main()
