"""Train a net as a solver file says, from scratch, from given weights, or on from a snapshot."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.cli import common
from segcaffe.cli.numbers import ANY_SEED, whole
from segcaffe.cli.ranks import add_training_options
from segcaffe.files.there import is_dir
from segcaffe.glog import ANNOUNCEMENTS, log, shows_progress, tell
from segcaffe.proto.encoding import from_native, to_native

if TYPE_CHECKING:
    from segcaffe.proto.caffe_pb2 import SolverParameter
    from segcaffe.solver.solver import Solver

EFFECTS = ("stop", "snapshot", "none")
TOLD = {
    "stop": "the training stops after this iteration, with a snapshot.",
    "snapshot": "a snapshot follows this iteration; the training goes on.",
    "none": "nothing happens, as the options say.",
}
AT_THE_END = "%s is at iteration %d, and max_iter is %d: nothing is left to train. Give --max_iter for more."
HOW_TO_GO_ON = (
    "Stopped after iteration %d of %d. To go on, give the same command --snapshot %s (in place of --weights or another "
    "snapshot)."
)
announcements = logging.getLogger(ANNOUNCEMENTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    common.add_option(parser, "solver", "the solver's prototxt", metavar="FILE", required=True)
    common.add_option(parser, "model", "the training net, in place of the one the solver names", metavar="FILE")
    common.add_option(parser, "weights", "weights to start from, separated by commas", metavar="FILE")
    common.add_option(parser, "allow-partial", "train though the weights have no layer of the net", action="store_true")
    common.add_option(parser, "snapshot", "solver state to go on from (.solverstate)", metavar="FILE")
    common.add_option(
        parser, "out", "folder for snapshots and the log, in place of snapshot_prefix's", metavar="FOLDER"
    )
    common.add_option(parser, "log_dir", "folder for the log (default: that of the snapshots)", metavar="FOLDER")
    common.add_option(parser, "snapshot_keep", "number of snapshots to keep; older ones are removed", type=whole())
    common.add_option(parser, "tensorboard", "folder for TensorBoard's event files", metavar="DIR")
    common.add_option(parser, "max_iter", "number of iterations, in place of the solver's", type=whole())
    common.add_option(
        parser, "random_seed", "seed of all random numbers, in place of the solver's", type=whole(-1, ANY_SEED)
    )
    common.add_option(parser, "sigint_effect", "what Ctrl-C does: stop (after a snapshot), snapshot, none",
                      choices=EFFECTS, default="stop")  # fmt: skip
    common.add_option(parser, "sighup_effect", "what SIGHUP does", choices=EFFECTS, default="snapshot")
    add_training_options(parser)
    common.add_no_python_option(parser)
    common.add_state_options(parser)
    common.add_fusion_option(parser)
    common.add_memory_option(parser)
    common.add_recompute_option(parser)
    common.add_device_options(parser)
    common.add_template_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the training; an interrupted one leaves a snapshot and ends with status 0."""
    from segcaffe.errors import SegcaffeError
    from segcaffe.glog import start_log
    from segcaffe.parallel import group
    from segcaffe.proto.text import read_solver

    if options.weights and options.snapshot:
        raise SegcaffeError("give --weights (start from weights) or --snapshot (go on with a run), not both.")
    if options.recompute and not options.share_memory:
        raise SegcaffeError("give --recompute (less memory) or --keep-blobs (more), not both.")
    if options.snapshot_keep is not None:
        common.at_least(options, snapshot_keep=1)
    common.show_warnings()
    solver_file = common.existing_file(options.solver, "--solver")
    values = common.variables(options, *filter(None, (solver_file, options.model)))
    param = read_solver(solver_file, values)
    apply_options(param, options)
    _choose_device(param, options)
    prefix = Path(to_native(param.snapshot_prefix))
    first = group().is_first
    with (
        _lock_snapshots(param) if first else nullcontext(),
        start_log(
            (options.log_dir or str(prefix.parent)) if first else None, f"{prefix.name}_train", quiet=shows_progress()
        ) as path,
    ):
        if shows_progress():
            tell(f"Log: {path}")
        train(param, options, values)
    return 0


def apply_options(param: SolverParameter, options: argparse.Namespace) -> None:
    """Let the command line's options replace the file's."""
    if options.model:
        for field in ("net", "train_net", "net_param", "train_net_param"):
            param.ClearField(field)
        param.train_net = from_native(str(common.existing_file(options.model, "--model")))
    if options.max_iter is not None:
        param.max_iter = options.max_iter
    if options.random_seed is not None:
        param.random_seed = options.random_seed
    if not param.snapshot_prefix:
        param.snapshot_prefix = from_native(str(Path(options.solver).with_suffix("")))
    if options.out:
        name = Path(to_native(param.snapshot_prefix)).name or Path(options.solver).stem
        param.snapshot_prefix = from_native(str(Path(options.out) / name))
    if options.level:
        param.train_state.level = options.level
    param.train_state.stage.extend(common.stages(options))


def train(param: SolverParameter, options: argparse.Namespace, values: dict[str, str]) -> Solver:
    """Solve with a progress bar on a terminal, obeying signals; returns the solver."""
    from segcaffe.cli.training_view import training_view
    from segcaffe.parallel import group
    from segcaffe.solver.registry import get_solver
    from segcaffe.viz.tensorboard import tensorboard

    solver = get_solver(param, variables=values, net_options=_net_options(options))
    solver.snapshot_keep = options.snapshot_keep
    if group().is_first:
        # The other ranks need none of the files.
        common.load_weights(solver.net, options.weights, "--weights", options.allow_partial, finetuning=True)
        _load_tested_only(solver, options.weights)
        _go_on(solver, options.snapshot)
    solver.synchronize()
    saved: list[Path] = []
    solver.add_watcher(tested=lambda index, scores: None, saved=lambda paths: saved.append(paths.state))
    with (
        training_view(solver),
        signals(solver, options.sigint_effect, options.sighup_effect),
        tensorboard(solver, options.tensorboard if group().is_first else None),
    ):
        log.info("Starting Optimization")
        solver.solve()
    if solver.iter < param.max_iter and saved and group().is_first:
        announcements.info(HOW_TO_GO_ON, solver.iter, param.max_iter, saved[-1])
    return solver


def _go_on(solver: Solver, snapshot: str | None) -> None:
    """Restore the snapshot that the command line names, if it does."""
    if not snapshot:
        return
    solver.restore(common.existing_file(snapshot, "--snapshot"))
    if solver.iter >= solver.param.max_iter:
        announcements.info(AT_THE_END, snapshot, solver.iter, solver.param.max_iter)


def _lock_snapshots(param: SolverParameter) -> AbstractContextManager[object]:
    """Keep other processes from the snapshots' prefix before the log is begun, which lies there too.

    A prefix that is a folder gets a name when the net is known; the solver locks that.
    """
    from segcaffe.snapshot.files import lock_prefix

    prefix = to_native(param.snapshot_prefix)
    is_folder = prefix.endswith("/") or is_dir(Path(prefix))
    writes = param.snapshot > 0 or param.snapshot_after_train
    return lock_prefix(prefix, "train") if writes and not is_folder else nullcontext()


def _load_tested_only(solver: Solver, files: str | None) -> None:
    """Load weights into those test nets that have layers of their own; the others' parameters are the train net's."""
    trained = {layer.name for layer in solver.net.layer_list}
    for net in solver.test_nets:
        if any(layer.blobs and layer.name not in trained for layer in net.layer_list):
            for weights in common.weight_files(files):
                net.copy_from(weights)


def _net_options(options: argparse.Namespace) -> dict[str, Any]:
    return {"fuse": options.fuse, "share_memory": options.share_memory, "recompute": options.recompute}


@contextmanager
def signals(solver: Solver, sigint: str, sighup: str) -> Iterator[None]:
    """While it lasts, SIGINT and SIGHUP ask the solver to stop or to write a snapshot after the iteration."""
    effects = {signal.SIGINT: ("Ctrl-C", sigint)}
    if hasattr(signal, "SIGHUP"):
        effects[signal.SIGHUP] = ("SIGHUP", sighup)
    requests: dict[str, Callable[[], None]] = {
        "stop": lambda: _stop(solver),
        "snapshot": solver.request_snapshot,
        "none": lambda: None,
    }

    def serve(number: int, _: object) -> None:
        name, effect = effects[signal.Signals(number)]
        requests[effect]()
        announcements.info("%s: %s", name, TOLD[effect])

    before = {number: signal.signal(number, serve) for number in effects}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(solver: Solver) -> None:
    """Stop after a snapshot, also where the file asks for none at the end."""
    solver.request_stop()
    if not solver.param.snapshot_after_train:
        solver.request_snapshot()


def _choose_device(param: SolverParameter, options: argparse.Namespace) -> None:
    """GPU where the file or the command line asks for it; without one, say how to override the file."""
    from segcaffe.errors import DeviceError
    from segcaffe.proto.caffe_pb2 import SolverParameter as Parameter

    asks = param.HasField("solver_mode") and param.solver_mode == Parameter.GPU
    if asks and not options.gpu and param.device_id:
        options.gpu = str(param.device_id)
    try:
        common.set_device(options, wants_gpu=asks)
    except DeviceError as error:
        if not asks:
            raise
        raise DeviceError(
            f"{options.solver} says solver_mode: GPU. {error} Add --cpu to override the file's solver_mode."
        ) from error
