"""What a solver does together with those of other ranks: the same net, the same start, one mean of the gradients."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.errors import GraphError, NumericError
from segcaffe.net.net import Net
from segcaffe.parallel import Group
from segcaffe.proto.caffe_pb2 import LayerParameter, SolverParameter
from segcaffe.solver.checkpoint import Run, Stream, sources_of
from segcaffe.solver.gradients import Gradients, Spent
from segcaffe.solver.hooks import Requests

_log = logging.getLogger("segcaffe")
_OWN_FIELDS = (
    "net", "train_net", "test_net", "net_param", "train_net_param", "test_net_param", "weights", "snapshot_prefix",
    "device_id", "random_seed", "display",
)  # fmt: skip
"""Options of a solver that ranks may differ in: names of files, and what the net's layers tell anyway."""
_PATHS = ("source", "root_folder", "mean_file")
"""Options of layers that name files, which may lie elsewhere on another machine."""


class Ranks:
    """The solver's part in a group of several processes.

    Parameters
    ----------
    solver:
        The solver; its net is there already.

    Attributes
    ----------
    spent:
        Seconds that the last iteration's reduction took.
    """

    def __init__(self, solver: Run, joined: Group) -> None:
        self._solver, self._group = solver, joined
        _log.info("Training on %d ranks; batch sizes are each rank's, gradients their mean.", joined.size)
        _check_alike(joined, solver.param, solver.net)
        self.gradients = Gradients(solver.net, joined)
        self.spent = Spent(0.0, 0.0)
        self._streams: list[Stream] | None = None
        self._requests = Requests()
        self._equal = False

    def part(self, streams: list[Stream] | None) -> None:
        """Note that rank 0 has gone elsewhere: to a snapshot, in which the ranks had these ``streams``."""
        self._equal, self._streams = False, streams

    def synchronize(self) -> None:
        """Give every rank the weights, histories and state of rank 0, unless it has them."""
        if self._equal:
            return
        self._equal = True
        solver = self._solver
        for blob in (*solver.net.learnable_params, *solver.history):
            self._group.broadcast_(blob.array.reshape(-1))
        state = self._group.gather(_state_of(solver, self._streams))[0]
        self._streams = None
        solver.iter, solver.lr = state["iter"], state["lr"]
        solver.rate.resume(*state["rate"])
        solver.average_loss.follow(state["losses"])
        self._share_sources(state)

    def _share_sources(self, state: dict[str, Any]) -> None:
        streams, rank = state["streams"], self._group.rank
        alike = streams is not None and len(streams) == self._group.size
        for layer in sources_of(self._solver.net):
            if layer.shared_out:
                layer.restore(state["sources"][layer.name])
            elif alike and rank:
                layer.restore(streams[rank]["sources"][layer.name])
        if alike and rank:
            device.set_state(streams[rank]["random"])
        elif streams is not None and not alike:
            _log.warning(
                "The snapshot is of %d rank%s, this run has %d: weights, histories and places in the data go on, and "
                "what layers draw at random (dropout, noise) begins anew.",
                len(streams),
                "s" * (len(streams) > 1),
                self._group.size,
            )

    def conclude(self, loss: float, failure: NumericError | None, requests: Requests) -> float:
        """Wait for the mean of the gradients, agree on the requests of all ranks, and return their mean loss.

        NumericError, on all ranks, where any of them met a ``failure``; it names the rank.
        """
        status = np.array([loss if failure is None else 0.0, failure is not None, *requests], np.float64)
        self.spent = self.gradients.finish()
        self._group.average_(status)
        if status[1] > 0:
            told = self._group.gather("" if failure is None else str(failure))
            rank, text = next((rank, text) for rank, text in enumerate(told) if text)
            raise NumericError(f"Rank {rank}: {text}") from failure
        self._requests = Requests(status[2] > 0, status[3] > 0)
        return float(status[0])

    def take_requests(self) -> Requests:
        """What any rank was asked for, the same on all; it is told once."""
        taken, self._requests = self._requests, Requests()
        return taken


def _state_of(solver: Run, kept: list[Stream] | None) -> dict[str, Any]:
    rate = solver.rate
    return {
        "iter": solver.iter,
        "lr": solver.lr,
        "rate": (rate.current_step, rate.minimum_loss, rate.iter_last_event),
        "losses": solver.average_loss.state(),
        "sources": {layer.name: layer.state() for layer in sources_of(solver.net) if layer.shared_out},
        "streams": kept,
    }


def _check_alike(joined: Group, param: SolverParameter, net: Net) -> None:
    """GraphError, on all ranks, where one has other layers or another solver than rank 0."""
    own = _fingerprints(param, net)
    whole = hashlib.sha256("".join(f"{name}\n{digest}\n" for name, digest in own).encode()).hexdigest()
    wholes = joined.gather(whole)
    if len(set(wholes)) == 1:
        return
    first = joined.gather(own)
    other = next(rank for rank, digest in enumerate(wholes) if digest != wholes[0])
    differing = [a or b for a, b in _pairs(first[0], first[other]) if a != b]
    what = differing[0][0] if differing else "the net"
    raise GraphError(
        f"Rank {other}'s training differs from rank 0's in {what}. All ranks train one net by one solver: give each "
        "the same files and options."
    )


def _pairs(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> list[tuple[Any, Any]]:
    length = max(len(one), len(other))
    none: list[Any] = [None]
    return list(zip(one + none * (length - len(one)), other + none * (length - len(other)), strict=True))


def _fingerprints(param: SolverParameter, net: Net) -> list[tuple[str, str]]:
    """What the solver and each layer are called in messages, with a hash of what they must have in common."""
    common = SolverParameter()
    common.CopyFrom(param)
    for field in _OWN_FIELDS:
        common.ClearField(field)
    found = [("the solver's options", _digest(common))]
    return found + [(layer.where, _digest(_without_paths(layer.param))) for layer in net.layer_list]


def _without_paths(param: LayerParameter) -> LayerParameter:
    common = LayerParameter()
    common.CopyFrom(param)
    del common.blobs[:]
    for _, value in common.ListFields():
        for name in _PATHS:
            if hasattr(value, "DESCRIPTOR") and name in value.DESCRIPTOR.fields_by_name:
                value.ClearField(name)
    return common


def _digest(message: Any) -> str:
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
