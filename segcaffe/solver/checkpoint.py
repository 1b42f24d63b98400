"""Snapshots of a run, and going on from them.

Besides Caffe's two files a snapshot has a third, ``<state file>.segcaffe.json``, with what Caffe does not store: the
random stream, the place of each data layer, the losses that are averaged. With it a run that goes on equals one that
never stopped. Without it, or if it belongs to another state file, restoring works as Caffe does.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.errors import NumericError, SegcaffeError, WeightsError, joined
from segcaffe.files.there import exists, is_dir, is_file
from segcaffe.layers.source.base import SourceLayer
from segcaffe.net.net import Net
from segcaffe.parallel import group
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.encoding import to_native
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.caffemodel import encode_weights
from segcaffe.snapshot.files import check_writable, crc32_of, read_file, writing_together
from segcaffe.snapshot.retention import keep_newest
from segcaffe.snapshot.solverstate import encode_state, load_state
from segcaffe.snapshot.state import State
from segcaffe.solver.average import AverageLoss
from segcaffe.solver.diagnose import is_finite
from segcaffe.solver.policies import LearningRate
from segcaffe.trust.paths import as_file_name

_log = logging.getLogger("segcaffe")
_VERSION = 1
Stream = dict[str, Any]
"""What a rank has for itself: its random numbers' state, and states of sources by the layer's name."""


class Run(Protocol):
    """What a snapshot holds of a run, and sets when the run goes on: of a solver, as much as is needed here."""

    type: ClassVar[str]
    param: SolverParameter
    net: Net
    history: list[Blob]
    iter: int
    lr: float
    rate: LearningRate
    average_loss: AverageLoss
    snapshot_prefix: str
    snapshot_keep: int | None

    @property
    def test_nets(self) -> Sequence[Net]:
        """The nets that are tested."""


class Paths(NamedTuple):
    """The files of a snapshot that Caffe knows."""

    weights: Path
    state: Path


def snapshot_prefix(param: SolverParameter, filename: str | Path | None, net_name: str) -> str:
    """Return what the paths of snapshots begin with.

    A folder is completed by the solver file's name; nothing means that file's path without its suffix.
    """
    prefix = to_native(param.snapshot_prefix)
    if not prefix and filename is not None:
        return str(Path(filename).with_suffix(""))
    if prefix and not (prefix.endswith("/") or is_dir(Path(prefix))):
        return prefix
    name = Path(filename).stem if filename is not None else as_file_name(net_name or "net")
    return str(Path(prefix) / name)


def save(solver: Run) -> Paths:
    """Write weights, state and side file.

    All are on the disk before the first gets its name. The side file comes first, which refuses weights and states of
    another snapshot, and the state last: where there is a state, there is everything. Where several processes train
    together all of them call it, and rank 0 writes.
    """
    as_hdf5 = solver.param.snapshot_format == SolverParameter.HDF5
    suffix, kind = (".h5", "HDF5") if as_hdf5 else ("", "binary proto")
    stem = f"{solver.snapshot_prefix}_iter_{solver.iter}"
    paths = Paths(Path(f"{stem}.caffemodel{suffix}"), Path(f"{stem}.solverstate{suffix}"))
    ranks = streams(solver.net)
    if not group().is_first:
        return paths
    _check_finite(solver)
    check_writable(solver.snapshot_prefix)
    _log.info("Snapshotting to %s file %s", kind, paths.weights)
    side = _side_path(paths.state)
    with writing_together() as files:
        weights = encode_weights(solver.net.to_proto(write_diff=solver.param.snapshot_diff), paths.weights)
        checksums = {"weights_crc32": zlib.crc32(weights)}
        files.write(paths.weights, weights)
        del weights
        _log.info("Snapshotting solver state to %s file %s", kind, paths.state)
        state = _encode_state(solver, paths, as_hdf5)
        checksums["solverstate_crc32"] = zlib.crc32(state)
        files.write(paths.state, state)
        files.write(side, _encode_run(solver, checksums, ranks))
        files.publish(side, paths.weights, paths.state)
    if solver.snapshot_keep is not None:
        keep_newest(solver.snapshot_prefix, solver.iter, solver.snapshot_keep)
    return paths


def restore(solver: Run, path: str | Path) -> list[Stream] | None:
    """Bring weights, histories and, if the side file is there, everything else to where the snapshot was taken.

    Returns what the ranks had for themselves, if the side file is there.

    WeightsError, before anything is changed, where the three files are not of one snapshot.
    """
    _log.info("Restoring previous solver status from %s", path)
    state = load_state(path)
    _check_history(solver, state, path)
    run = _read_run(path)
    if state.learned_net:
        solver.net.copy_from(_find_weights(state.learned_net, path, run))
    for blob, values in zip(solver.history, state.history, strict=True):
        blob.data[...] = values.reshape(blob.shape)
    solver.iter = state.iter
    solver.rate.resume(state.current_step, state.minimum_loss, state.iter_last_event)
    solver.lr = solver.rate.preview(state.iter)
    if run is not None:
        try:
            _continue(solver, run)
        except SegcaffeError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _damaged_run(_side_path(path), error) from error
    return None if run is None else run.get("ranks", [{"random": run["random"], "sources": {}}])


def _check_finite(solver: Run) -> None:
    for name, blobs in solver.net.params.items():
        for index, blob in enumerate(blobs):
            if not is_finite(blob):
                raise NumericError(
                    f'Iteration {solver.iter}: parameter {index} of layer "{name}" is not finite, so no snapshot is '
                    "written; earlier ones are kept. Lower base_lr, set clip_gradients, or look at the input data."
                )


def _check_history(solver: Run, state: State, path: str | Path) -> None:
    if len(state.history) != len(solver.history):
        raise WeightsError(
            f"{path}: holds {len(state.history)} history blobs; solver {solver.type} on this net has "
            f"{len(solver.history)}. Continue with the type and the net that wrote it, or start from the weights alone."
        )
    for index, (blob, values) in enumerate(zip(solver.history, state.history, strict=True)):
        if values.size != blob.count:
            raise WeightsError(
                f"{path}: history blob {index} has shape {values.shape}, its parameter {blob.shape}. "
                "Continue with the net that wrote it, or start from the weights alone."
            )


def _find_weights(learned_net: str, state_path: str | Path, run: Mapping[str, Any] | None) -> Path:
    """Return the path of the weights: as written, or beside the state if they have been moved, or renamed, together.

    They must have the checksum that the side file knows; those of older versions know none.
    """
    state_path = Path(state_path)
    beside = state_path.with_name(Path(learned_net).name)
    alike = state_path.with_name(state_path.name.replace(".solverstate", ".caffemodel"))
    found = [path for path in (Path(learned_net), beside, alike) if is_file(path) and path != state_path]
    checksum = (run or {}).get("weights_crc32")
    for path in found:
        if checksum is None or crc32_of(path) == checksum:
            if path.name != beside.name:
                _log.warning("%s names the weights %s; %s is taken for them.", state_path, learned_net, path)
            return path
    if found:
        raise _of_another(_side_path(state_path), found[0])
    names = " nor ".join(dict.fromkeys((beside.name, alike.name)))
    raise joined(
        WeightsError,
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), learned_net),
        f"{state_path}: the weights it belongs to, {learned_net}, are not there, nor is {names} beside it. "
        "Put them there, or start in the folder where the snapshot was written.",
    )


# The side file.


def _side_path(state_path: str | Path) -> Path:
    return Path(f"{state_path}.segcaffe.json")


def _encode_state(solver: Run, paths: Paths, as_hdf5: bool) -> bytes:
    history = [blob.data for blob in solver.history]
    rate = solver.rate
    looks_at_loss = solver.param.lr_policy == "plateau"
    least = rate.minimum_loss if looks_at_loss else None
    state = State(solver.iter, rate.current_step, str(paths.weights), history, least, rate.iter_last_event)
    return hdf5.encode_state(state) if as_hdf5 else encode_state(state)


def _encode_run(solver: Run, checksums: Mapping[str, int], ranks: Sequence[Stream]) -> bytes:
    run: dict[str, Any] = {
        "version": _VERSION,
        **checksums,
        "random": device.get_state(),
        "losses": list(solver.average_loss.losses),
        "sources": [_source_states(net) for net in (solver.net, *solver.test_nets)],
    }
    if len(ranks) > 1:
        run["ranks"] = ranks
    return json.dumps(run).encode()


def streams(net: Net) -> list[Stream]:
    """For each rank the state of its random numbers, and of those sources that it shares with no other."""
    own = {layer.name: layer.state() for layer in sources_of(net) if not layer.shared_out}
    return group().gather({"random": device.get_state(), "sources": own})


def sources_of(net: Net) -> list[SourceLayer]:
    """The layers that bring values into the net."""
    return [layer for layer in net.layer_list if isinstance(layer, SourceLayer)]


def _source_states(net: Net) -> list[tuple[str, dict[str, Any]]]:
    return [(layer.name, layer.state()) for layer in sources_of(net)]


def _read_run(state_path: str | Path) -> dict[str, Any] | None:
    """Return what the side file holds; None, with a word, if there is none. WeightsError for another state's."""
    path = _side_path(state_path)
    if not exists(path):
        _log.info("%s is not there: data layers begin anew, as in Caffe.", path)
        return None
    text, state = read_file(path), read_file(state_path)
    try:
        run: dict[str, Any] = json.loads(text)
        known, matches = run["version"] == _VERSION, run["solverstate_crc32"] == zlib.crc32(state)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged_run(path, error) from error
    if not known:
        _log.warning("%s is of another version of segcaffe and is passed over: data layers begin anew.", path)
        return None
    if not matches:
        raise _of_another(path, state_path)
    return run


def _of_another(side: Path, other: str | Path) -> WeightsError:
    return WeightsError(
        f"{side}: {other} is not of the snapshot that this file was written for: one of them is another run's, or was "
        "changed since. Go on from another snapshot, or put the files that belong together side by side. Removing "
        f"{side.name} goes on as Caffe does, with whatever weights and state are there and data from the start."
    )


def _damaged_run(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path}: the file is damaged ({error}). Remove it to continue as Caffe does, with data from the start."
    )


def _continue(solver: Run, run: dict[str, Any]) -> None:
    for net, states in zip((solver.net, *solver.test_nets), run["sources"], strict=False):
        sources = sources_of(net)
        if [layer.name for layer in sources] != [name for name, _ in states]:
            _log.warning("The data layers are not those of the snapshot; they begin anew.")
            continue
        for layer, (_, state) in zip(sources, states, strict=True):
            layer.restore(state)
    solver.average_loss.restore(run["losses"])
    device.set_state(run["random"])
