"""The solver: trains a net, tests others along the way, and keeps snapshots."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.blob.member import member
from segcaffe.blob.vectors import NetVec
from segcaffe.errors import NumericError, PrototxtError
from segcaffe.files.lock import Lock
from segcaffe.kernels.optimizer import Step
from segcaffe.net.net import Net
from segcaffe.parallel import group
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.encoding import to_native
from segcaffe.proto.fork_options import tell_of
from segcaffe.proto.text import read_solver
from segcaffe.proto.upgrade import upgrade_solver
from segcaffe.snapshot.files import check_writable, lock_prefix
from segcaffe.solver import checkpoint, diagnose, report
from segcaffe.solver.average import AverageLoss
from segcaffe.solver.hooks import Hooks, Progress
from segcaffe.solver.lookahead import Lookahead
from segcaffe.solver.nets import build_test_nets, build_train_net
from segcaffe.solver.policies import LearningRate
from segcaffe.solver.ranks import Ranks
from segcaffe.solver.regularize import check_regularization, decay, gradient_scale
from segcaffe.solver.schedules import check_schedules, local_rate, momentum_at, weight_decay_at
from segcaffe.solver.summary import Summary
from segcaffe.solver.testing import run_test

Array = Any
_log = logging.getLogger("segcaffe")


class Solver(Hooks, ABC):
    """Base of all solvers; a subclass defines `update`.

    Parameters
    ----------
    param:
        Path of a solver prototxt, or a `SolverParameter`. Paths in it are relative to the working directory.
    variables:
        Values of ``${NAME}`` templates in the file and in the nets it names.
    filename:
        Where a message came from; snapshots are named after it if nothing else names them.
    net_options:
        Keyword arguments of `Net` that say how the nets run, such as ``fuse``.

    Attributes
    ----------
    net, test_nets:
        The net that is trained, and those that are tested; they share their parameters.
    iter:
        Number of iterations done, that is, of updates made.
    lr:
        Learning rate of the last update; before the first one, and after a restore, that of the next.
    momentum:
        Momentum of the last update.
    snapshot_keep:
        How many snapshots of this prefix stay when a new one is written; None for all.
    history:
        For each learnable parameter a blob of its shape; then all second ones, where the algorithm has two; with
        ``lookahead`` those of the slow weights at the end.
    ranks:
        What it does together with the solvers of other processes; None where it trains alone.
    """

    net: Net = member("The net that is trained.")
    test_nets: NetVec = member("The nets that are tested.")
    iter: int = member("Number of iterations done.")
    lr: float = member("Learning rate.")
    param: SolverParameter = member("The solver's options.")

    type: ClassVar[str]
    num_histories: ClassVar[int] = 1

    def __init__(
        self,
        param: SolverParameter | str | Path,
        *,
        variables: Mapping[str, str] | None = None,
        filename: str | Path | None = None,
        net_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(param, SolverParameter):
            self.param = SolverParameter()
            self.param.CopyFrom(param)
            upgrade_solver(self.param)
        else:
            self.param = read_solver(param, variables)
            filename = param
        self.check_options()
        self.lookahead = Lookahead(self.param)
        tell_of(self.param)
        joined = group()
        if self.param.random_seed >= 0:
            device.set_random_seed(self.param.random_seed + joined.rank)
        self.net = build_train_net(self.param, variables, net_options)
        tests = joined.is_first or joined.options.share_tests
        self.test_nets = NetVec(build_test_nets(self.param, variables, net_options) if tests else ())
        self._load_weights(joined.is_first)
        self.snapshot_prefix = checkpoint.snapshot_prefix(self.param, filename, self.net.name)
        self.snapshot_keep: int | None = None
        self._lock: tuple[str, Lock] | None = None
        self._writes = joined.is_first
        if self.param.snapshot > 0 and self._writes:
            check_writable(self.snapshot_prefix)
        self.iter = 0
        self.rate = LearningRate(self.param)
        self.lr = self.rate.preview(self.iter)
        self.momentum = momentum_at(self.param, self.iter, self.lr)
        self.history = [
            Blob(blob.shape, blob.dtype)
            for _ in range(self.num_histories + self.lookahead.histories)
            for blob in self.net.learnable_params
        ]
        self.average_loss = AverageLoss(self.param.average_loss)
        self._speed = report.Speed()
        self._stopped = False
        self.ranks = Ranks(self, joined) if joined.joint else None

    @abstractmethod
    def update(self, weight: Array, grad: Array, history: list[Array], step: Step) -> None:
        """Renew one parameter in place from its gradient and its histories, all on the device."""

    def check_options(self) -> None:
        """Raise PrototxtError for options that contradict each other; subclasses add their own."""
        param = self.param
        check_regularization(param)
        check_schedules(param)
        for field, value in param.ListFields():
            if field.cpp_type == field.CPPTYPE_FLOAT and not field.is_repeated and not math.isfinite(value):
                raise PrototxtError(f"Solver: {field.name} must be a number. Received: {value}.")
        for name, least in (("iter_size", 1), ("average_loss", 1), ("max_iter", 0), ("snapshot", 0)):
            if getattr(param, name) < least:
                raise PrototxtError(f"Solver: {name} must be at least {least}. Received: {getattr(param, name)}.")
        for count in param.test_iter:
            if count < 0:
                raise PrototxtError(
                    f"Solver: test_iter is a number of batches, 0 for a net that is not tested. Received: {count}."
                )

    # Training.

    def solve(self, resume_file: str | Path | None = None) -> None:
        """Train up to ``max_iter``, from a snapshot's solver state if one is given; then snapshot, show and test."""
        _log.info("Solving %s", self.net.name)
        _log.info("Learning Rate Policy: %s", self.param.lr_policy)
        if self.param.snapshot_after_train:
            self._lock_prefix()
        if resume_file is not None:
            self.restore(resume_file)
        self.synchronize()
        self.step(max(0, self.param.max_iter - self.iter))
        if self.param.snapshot_after_train and not self._due(self.param.snapshot):
            self.snapshot()
        if self._stopped:
            _log.info("Optimization stopped early.")
            return
        if self._due(self.param.display):
            loss = self.average_loss.add(self._forward(debug=False))
            _log.info("Iteration %d, loss = %.6g", self.iter, loss)
        if self._due(self.param.test_interval):
            self.test_all()
        _log.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Run that many iterations, or fewer if a stop is requested.

        NumericError says which layer failed when the loss is not a finite number; nothing is written then.
        """
        if self.param.snapshot > 0:
            self._lock_prefix()
        self.synchronize()
        self.average_loss.start()
        self._speed.start(self.iter)
        self._stopped = False
        last = self.iter + iterations
        while self.iter < last:
            if self._due(self.param.test_interval) and (self.iter > 0 or self.param.test_initialization):
                self.test_all()
            if not self._stopped:
                self._iterate()
            if self._stopped:
                break

    def _iterate(self) -> None:
        display = self._due(self.param.display)
        for blob in self.net.learnable_params:
            blob.clear_grad()
        for on_start, _ in self._callbacks:
            on_start()
        loss = self.average_loss.add(self._gradients(debug=display and self.param.debug_info))
        if display:
            report.report_training(self.net, self.iter, loss, self.param.display, self._speed)
        if self._due(self.param.display_sparsity):
            report.report_sparsity(self.net, self.iter)
        for _, on_gradients_ready in self._callbacks:
            on_gradients_ready()
        self.apply_update()
        for hook in self._progress:
            hook(Progress(self.iter, loss, self.lr))
        self._serve_requests(snapshot_due=self._due(self.param.snapshot))

    def _gradients(self, debug: bool) -> float:
        """Bring the gradients about, and their mean where several ranks train together; returns the mean loss."""
        if self.ranks is None:
            return self._forward_backward(debug)
        loss, failure = 0.0, None
        try:
            loss = self._forward_backward(debug)
        except NumericError as error:
            failure = error
        return self.ranks.conclude(loss, failure, self._take_requests())

    def _forward_backward(self, debug: bool) -> float:
        """Add up gradients over ``iter_size`` passes; returns the mean loss."""
        total = 0.0
        for left in reversed(range(self.param.iter_size)):
            total += self._forward(debug)
            averaged = self.ranks.gradients if self.ranks is not None and left == 0 else None
            if averaged is not None:
                averaged.begin()
            if debug:
                diagnose.backward_with_info(self.net)
            else:
                done = averaged.done if averaged is not None else None
                self.net.backward_from_to(len(self.net.layer_list) - 1, 0, done)
        return total / self.param.iter_size

    def _forward(self, debug: bool) -> float:
        net = self.net
        loss = diagnose.forward_with_info(net) if debug else net.forward_from_to(0, len(net.layer_list) - 1)
        if not math.isfinite(loss):
            raise NumericError(
                f"Iteration {self.iter}: the loss is {loss}. {diagnose.first_not_finite(net)} "
                "Lower base_lr, set clip_gradients, or look at the input data; earlier snapshots are kept."
            )
        return loss

    def apply_update(self) -> None:
        """Renew all learnable parameters from their gradients: clip, divide by iter_size, decay, update; count it.

        Loops written by hand call it after ``net.clear_param_diffs()``, ``net.forward()`` and ``net.backward()``:
        ``iter`` is the number of updates made.
        """
        self.lr = self.rate(self.iter, self.average_loss.value)
        self.momentum = momentum_at(self.param, self.iter, self.lr)
        weight_decay = weight_decay_at(self.param, self.iter)
        display = self._due(self.param.display)
        if display:
            _log.info("Iteration %d, lr = %.6g", self.iter, self.lr)
        net = self.net
        learning = [i for i, lr in enumerate(net.params_lr) if lr != 0]
        scale = gradient_scale(self.param, net.learnable_params)
        for i in learning:
            blob = net.learnable_params[i]
            rate = local_rate(self.param, blob, net.params_lr[i], self.lr, scale, self.momentum)
            step = Step(rate, scale, *decay(self.param, weight_decay, net.params_weight_decay[i]))
            histories = [h.array for h in self._histories(i)]
            self.lookahead.before(blob.array, histories, self.iter)
            self.update(blob.array, blob.grad, histories, step)
            self.lookahead.after(blob.array, histories, self.iter)
        if display and self.param.debug_info:
            diagnose.report_updates(net)
        self.iter += 1

    def _histories(self, i: int) -> list[Blob]:
        return self.history[i :: len(self.net.learnable_params)]

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.iter % interval == 0

    # Testing.

    def test_all(self) -> None:
        """Test every test net."""
        for index in range(len(self.test_nets)):
            if not self._stopped:
                self.test(index)

    def test(self, index: int = 0) -> report.Scores:
        """Run test net ``index`` ``test_iter`` times; log and return what its outputs come to."""
        net = self.test_nets[index]
        count = self.param.test_iter[index]
        if count == 0:
            return {}
        _log.info("Iteration %d, Testing net (#%d)", self.iter, index)
        summary = Summary(net, to_native(self.param.ap_version))
        loss = run_test(summary, count, group(), lambda: self._test_pass(net))
        if loss is None:
            _log.info("Test interrupted.")
            return {}
        if self.param.test_compute_loss:
            _log.info("Test loss: %.6g", loss)
        scores = summary.scores()
        report.report_outputs("Test", net, scores)
        if self.param.show_per_class_result:
            summary.report_classes()
        for tested, _ in self._watchers:
            tested(index, scores)
        return scores

    def _test_pass(self, net: Net) -> float | None:
        """Run a test net on a batch and return the loss; None where the run is to stop."""
        if self.ranks is None:
            # Otherwise all ranks serve requests together, after the iteration.
            self._serve_requests()
        if self._stopped:
            return None
        if self.param.debug_info:
            return diagnose.forward_with_info(net)
        return net.forward_from_to(0, len(net.layer_list) - 1)

    # Requests.

    def _serve_requests(self, snapshot_due: bool = False) -> None:
        wanted = self._take_requests() if self.ranks is None else self.ranks.take_requests()
        if wanted.snapshot or snapshot_due:
            self.snapshot()
        if wanted.stop:
            self._stopped = True

    # Files.

    def snapshot(self) -> checkpoint.Paths:
        """Write weights and solver state as ``<prefix>_iter_<iter>.*``; returns their paths.

        Where several ranks train together, all of them call it, and rank 0 writes.
        """
        self._lock_prefix()
        paths = checkpoint.save(self)
        for _, saved in self._watchers:
            saved(paths)
        return paths

    def _lock_prefix(self) -> None:
        """Keep other processes from writing snapshots of this prefix as long as the solver is there."""
        if self._writes and (self._lock is None or self._lock[0] != self.snapshot_prefix):
            self._lock = self.snapshot_prefix, lock_prefix(self.snapshot_prefix)

    def restore(self, path: str | Path) -> None:
        """Continue from a solver state and the weights it names; where several ranks train together, rank 0's."""
        kept = checkpoint.restore(self, path) if self._writes else None
        if self.ranks is not None:
            self.ranks.part(kept)

    def synchronize(self) -> None:
        """Have every rank go on from what rank 0 has; `step` does so after the start and after `restore`."""
        if self.ranks is not None:
            self.ranks.synchronize()

    def share_weights(self, net: Net) -> None:
        """Let the net that is trained use the parameters of ``net``."""
        self.net.share_with(net)

    def _load_weights(self, reads: bool) -> None:
        """Fill the train net from the files that ``weights`` names, and let the test nets share its parameters."""
        for paths in self.param.weights if reads else ():
            for path in to_native(paths).split(","):
                _log.info("Finetuning from %s", path.strip())
                self.net.copy_from(path.strip())
        for net in self.test_nets:
            net.share_with(self.net)
