"""Finding out whether a launcher started this process as one of several, and joining the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcaffe.errors import DeviceError
from segcaffe.parallel.group import Alone, Group, Options

if TYPE_CHECKING:
    from mpi4py import MPI

_log = logging.getLogger("segcaffe")
_SIZES = (
    "PMI_SIZE",  # MPICH, Intel MPI, and Slurm's pmi2
    "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "MV2_COMM_WORLD_SIZE",  # MVAPICH
)
HOW_TO_INSTALL = (
    "pip install 'segcaffe[mpi]' brings mpi4py, which uses the MPI of the machine; where there is none, "
    "pip install mpich brings one, with its mpiexec."
)
_OTHER_MPI = (
    "The launcher's environment tells of %d processes, but the MPI that mpi4py uses knows of this one alone. Start "
    "them by the mpiexec of that MPI (with Slurm: srun's plugin for it), or build mpi4py with the launcher's MPI."
)


def launched(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher started together with this one, as its environment tells; 1 where none did."""
    return _by_mpi(environment) or _by_slurm(environment) or 1


def _by_mpi(environment: Mapping[str, str]) -> int:
    return next((int(environment[name]) for name in _SIZES if environment.get(name, "").isdigit()), 0)


def _by_slurm(environment: Mapping[str, str]) -> int:
    if "SLURM_STEP_ID" in environment and environment.get("SLURM_STEP_NUM_TASKS", "").isdigit():
        # In a batch script itself, outside srun, there is no step.
        return int(environment["SLURM_STEP_NUM_TASKS"])
    return 0


def join(wanted: bool, options: Options = Options()) -> Group:  # noqa: B008
    """Join the processes that the launcher started; alone where there are none.

    Slurm starts several processes for other ends than MPI, too: where nobody asked for MPI and it cannot be had, a
    warning says that this process works alone.

    Parameters
    ----------
    wanted:
        Whether the user asked for MPI; otherwise it is used where a launcher started several processes.

    Raises
    ------
    DeviceError
        MPI is asked for, or needed, and mpi4py or the MPI library is missing, or knows nothing of the launcher.
    """
    if not wanted and launched() == 1:
        return Alone()
    try:
        comm = _world()
    except DeviceError as error:
        if wanted or _by_mpi(os.environ) > 1:
            raise
        return _alone_after_all(error)
    if comm.Get_size() == 1:
        if launched() == 1:
            return Alone()
        unknown = DeviceError(_OTHER_MPI % launched())
        if wanted:
            raise unknown
        return _alone_after_all(unknown)
    from segcaffe.parallel.mpi import Mpi

    return Mpi(comm, options)


def _alone_after_all(error: DeviceError) -> Alone:
    _log.warning("%s This process works alone.", error)
    return Alone()


def _world() -> MPI.Intracomm:
    """All processes that MPI knows of; DeviceError without mpi4py or an MPI."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise DeviceError(f"MPI cannot be used: {error}. {HOW_TO_INSTALL}") from error
    except RuntimeError as error:
        raise DeviceError(f"mpi4py finds no MPI: {str(error).splitlines()[0]}. {HOW_TO_INSTALL}") from error
    return MPI.COMM_WORLD
