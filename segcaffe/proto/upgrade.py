"""Old notations of nets and solvers to today's."""

from __future__ import annotations

from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter


def upgrade_net(net: NetParameter, where: str = "") -> NetParameter:
    """Upgrade a net in place and return it."""
    return net


def upgrade_solver(solver: SolverParameter, where: str = "") -> SolverParameter:
    """Upgrade a solver in place and return it."""
    return solver
