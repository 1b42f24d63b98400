"""Finding out whether a launcher started this process as one of several, and joining the others."""

from __future__ import annotations

import os
from collections.abc import Mapping

from segcaffe.errors import DeviceError
from segcaffe.parallel.group import Alone, Group, Options

_SIZES = (
    "PMI_SIZE",  # MPICH, Intel MPI, and Slurm's pmi2
    "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "MV2_COMM_WORLD_SIZE",  # MVAPICH
)
HOW_TO_INSTALL = (
    "pip install 'segcaffe[mpi]' brings mpi4py, which uses the MPI of the machine; where there is none, "
    "pip install mpich brings one, with its mpiexec."
)


def launched(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher started together with this one, as its environment tells; 1 where none did."""
    for name in _SIZES:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    if "SLURM_STEP_ID" in environment and environment.get("SLURM_STEP_NUM_TASKS", "").isdigit():
        # In a batch script itself, outside srun, there is no step.
        return int(environment["SLURM_STEP_NUM_TASKS"])
    return 1


def join(wanted: bool, options: Options = Options()) -> Group:  # noqa: B008
    """Join the processes that the launcher started; alone where there are none.

    Parameters
    ----------
    wanted:
        Whether the user asked for MPI; otherwise it is used where a launcher started several processes.

    Raises
    ------
    DeviceError
        MPI is asked for, or needed, and mpi4py or the MPI library is missing.
    """
    if not wanted and launched() == 1:
        return Alone()
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise DeviceError(f"MPI cannot be used: {error}. {HOW_TO_INSTALL}") from error
    except RuntimeError as error:
        raise DeviceError(f"mpi4py finds no MPI: {str(error).splitlines()[0]}. {HOW_TO_INSTALL}") from error
    from segcaffe.parallel.mpi import Mpi

    if MPI.COMM_WORLD.Get_size() == 1:
        return Alone()
    return Mpi(MPI.COMM_WORLD, options)
