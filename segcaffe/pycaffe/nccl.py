"""pycaffe's ``NCCL``: what its scripts for several processes create, bind to a solver and call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.parallel import Group, group
from segcaffe.parallel.launch import launched
from segcaffe.parallel.nccl import Gpus, new_id
from segcaffe.solver.gradients import Gradients

if TYPE_CHECKING:
    from segcaffe.solver.solver import Solver

_BY_MPI = "mpi"
"""The id where MPI started the processes and brings them together."""


class NCCL:
    """The solvers of several processes, brought together: ``solver.add_callback(nccl)``.

    Where mpiexec started the processes they meet by MPI, on CPUs and on GPUs; otherwise each has a GPU, and they meet
    by NCCL alone. How many there are and which this is, `set_solver_count` and `set_solver_rank` have said.

    Parameters
    ----------
    solver:
        This process's solver.
    uid:
        What `new_uid` gave to one of the processes.
    """

    def __init__(self, solver: Solver, uid: str) -> None:
        self._solver = solver
        self._ranks = _meet(uid)
        self._gradients = Gradients(solver.net, self._ranks) if solver.ranks is None else None
        self._by_layer = solver.param.iter_size == 1

    @staticmethod
    def new_uid() -> str:
        """What the processes find each other by, as a string."""
        return _BY_MPI if group().joint or launched() > 1 else bytes(_as_bytes(new_id())).hex()

    def bcast(self) -> None:
        """Give every process the weights of the first."""
        for blob in self._solver.net.learnable_params:
            self._ranks.broadcast_(blob.array.reshape(-1))

    def __call__(self, layer: int) -> None:
        """Hear that a layer has run backward (``net.after_backward(nccl)``): what is complete is averaged meanwhile.

        With iter_size gradients are complete in the last pass only; everything is averaged after it then.
        """
        if self._gradients is not None and self._by_layer:
            self._gradients.done(layer)

    def on_start(self) -> None:
        """Nothing to do before an iteration."""

    def on_gradients_ready(self) -> None:
        """Have the gradients averaged before the update."""
        if self._gradients is not None:
            self._gradients.finish()


def _meet(uid: str) -> Group:
    declared = group()
    if declared.joint:
        return declared
    if uid == _BY_MPI:
        from segcaffe.parallel.together import join_for_good

        joined = join_for_good("pycaffe")
        if (joined.rank, joined.size) != (declared.rank, declared.size):
            raise DeviceError(
                f"NCCL: mpiexec started {joined.size} processes, and this is number {joined.rank}. Received: "
                f"set_solver_count({declared.size}), set_solver_rank({declared.rank})."
            )
        return joined
    if device.get_mode() != "GPU":
        raise DeviceError(
            "NCCL: processes that compute on the CPU meet by MPI; start them by mpiexec, as "
            "`mpiexec -n 2 python SCRIPT`."
        )
    return Gpus(declared.rank, declared.size, bytes.fromhex(uid))


def _as_bytes(identity: object) -> bytes:
    """NCCL's id: bytes, or in CuPy before version 14 a tuple of signed ones."""
    if isinstance(identity, bytes):
        return identity
    assert isinstance(identity, tuple)
    return bytes(number & 255 for number in identity)
