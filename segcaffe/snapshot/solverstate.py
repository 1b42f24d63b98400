"""The state of a solver in a file: binary (.solverstate) or HDF5 (.solverstate.h5)."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError

from segcaffe.blob.proto import array_of, from_array
from segcaffe.errors import WeightsError
from segcaffe.files.there import is_file
from segcaffe.proto.caffe_pb2 import SolverState
from segcaffe.proto.content import STATE, advice, content_of
from segcaffe.proto.encoding import from_native, parse, serialize, to_native
from segcaffe.snapshot.files import is_hdf5, read_file
from segcaffe.snapshot.state import State
from segcaffe.text.words import counted


def load_state(path: str | Path) -> State:
    """Return the solver state in a file; its first bytes tell binary from HDF5. WeightsError if it cannot be read."""
    if is_hdf5(path):
        from segcaffe.snapshot import hdf5

        return hdf5.load_state(path)
    return decode_state(read_file(path), str(path))


def encode_state(state: State) -> bytes:
    """Return the bytes of a binary .solverstate."""
    message = SolverState(iter=state.iter, current_step=state.current_step, learned_net=from_native(state.learned_net))
    message.history.extend(from_array(values) for values in state.history)
    if state.minimum_loss is not None:
        message.minimum_loss, message.iter_last_event = state.minimum_loss, state.iter_last_event
    return serialize(message)


def decode_state(data: bytes, where: str) -> State:
    """Return the state in the bytes of a binary .solverstate; ``where`` names them in errors."""
    received = content_of(data)
    if received not in ("", STATE):
        beside = Path(where.replace(".caffemodel", ".solverstate"))
        hint = f" Give {beside}." if str(beside) != where and is_file(beside) else advice(received, STATE)
        raise WeightsError(f"{where}: expected a solver state (.solverstate). Received: {received}.{hint}")
    try:
        message = parse(SolverState, data)
    except DecodeError as error:
        raise _damaged(where, len(data)) from error
    if not message.HasField("iter"):
        raise _damaged(where, len(data))
    history = [array_of(blob, f"{where}: history {i}") for i, blob in enumerate(message.history)]
    least = message.minimum_loss if message.HasField("minimum_loss") else None
    return State(
        message.iter, message.current_step, to_native(message.learned_net), history, least, message.iter_last_event
    )


def _damaged(where: str, size: int) -> WeightsError:
    return WeightsError(
        f"{where}: the file is no solver state (.solverstate), or it is damaged. Received: {counted(size, 'byte')}. "
        "Continue from an older snapshot."
    )
