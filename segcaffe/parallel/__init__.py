"""Several processes that train or predict together: who this one is, and what they compute in common.

Solver, data and snapshots ask `group` for its `rank`, its `size`, and to average, broadcast and gather; whether MPI
does that, MPI and NCCL, or nobody because the process is alone, they do not know.
"""

from __future__ import annotations

from segcaffe.parallel.group import Alone, Group, Options, Wait, declare, group, use
from segcaffe.parallel.together import together

__all__ = ["Alone", "Group", "Options", "Wait", "declare", "group", "together", "use"]
