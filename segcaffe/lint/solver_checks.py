"""Checks of a solver's options."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from segcaffe.lint.finding import Finding
from segcaffe.proto.caffe_pb2 import SolverParameter

_NEEDS = {
    "step": ("gamma", "stepsize"),
    "multistep": ("gamma", "stepvalue"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
}
_EXAMPLES = {"gamma": "0.1", "stepsize": "10000", "stepvalue": "10000", "power": "0.9", "max_iter": "20000"}


def momentum(solver: SolverParameter, where: str) -> Iterator[Finding]:
    """Algorithms that are built on momentum, without any."""
    if solver.type in ("Adam", "AdaDelta", "Nesterov") and solver.momentum == 0:
        meaning = {
            "Adam": "It is beta1, the mean of the gradients: with 0 each step follows the last batch alone",
            "AdaDelta": "It is rho, the decay of both histories: with 0 they hold the last batch alone",
            "Nesterov": "With 0 the algorithm is plain SGD",
        }[solver.type]
        given = "momentum: 0" if solver.HasField("momentum") else "no momentum, which means 0 (there is no default)"
        usual = "0.95" if solver.type == "AdaDelta" else "0.9"
        name = solver.type.lower()
        yield Finding(f"{name}-momentum", where, f'type "{solver.type}" with {given}.', f"{meaning}.",
                      f"momentum: {usual}.")  # fmt: skip


def rate(solver: SolverParameter, where: str) -> Iterator[Finding]:
    """Learning rates that are zero, or become so."""
    if solver.base_lr == 0:
        yield Finding("zero-rate", where, "base_lr is 0 or missing.", "Training changes nothing.", "base_lr: 0.001.")
    for option in _NEEDS.get(solver.lr_policy, ()):
        value = getattr(solver, option)
        if not value:
            yield Finding(
                "rate-policy",
                where,
                f'lr_policy "{solver.lr_policy}" without {option}.',
                "It counts as 0, and the learning rate becomes zero, or stays as it is, without a word.",
                f"{option}: {_EXAMPLES[option]}.",
            )


def length(solver: SolverParameter, where: str) -> Iterator[Finding]:
    """Runs that end at once, or leave nothing."""
    if solver.max_iter <= 0:
        yield Finding("no-iterations", where, "max_iter is 0 or missing.", "The run ends at once.", "max_iter: 20000.")
    if solver.snapshot == 0 and solver.HasField("snapshot_after_train") and not solver.snapshot_after_train:
        yield Finding(
            "no-snapshot",
            where,
            "snapshot is 0 and snapshot_after_train false.",
            "The run leaves no weights.",
            "snapshot: 1000.",
        )
    # test_iter: 0 is how one says that a net is not tested.
    untested = bool(solver.test_iter) and not any(solver.test_iter)
    if not untested and solver.test_interval and solver.max_iter and solver.test_interval > solver.max_iter:
        yield Finding(
            "never-tested",
            where,
            f"test_interval {solver.test_interval} is larger than max_iter {solver.max_iter}.",
            "The test net runs before the training only.",
            f"test_interval: {max(1, solver.max_iter // 10)}.",
        )


def dialect(solver: SolverParameter, where: str) -> Iterator[Finding]:
    """Options whose default depends on the Caffe."""
    if solver.type == "RMSProp" and not solver.HasField("rms_decay"):
        yield Finding(
            "rms-decay",
            where,
            "RMSProp without rms_decay.",
            "The default is 0.99 in upstream Caffe and here, but 0 in the segmentation-aware fork.",
            "rms_decay: 0.99.",
        )


CHECKS: tuple[Callable[[SolverParameter, str], Iterator[Finding]], ...] = (momentum, rate, length, dialect)
