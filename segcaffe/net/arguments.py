"""What a net is given: its arguments, its file, and the values of its blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.errors import InputError
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import read_net


def sort_out(
    args: tuple[Any, ...], phase: int | None, level: int, stages: Sequence[str] | None, weights: Any
) -> tuple[int, int, Sequence[str] | None, Any]:
    """Sort out ``(phase, level, stages, weights)`` and the old ``(weights, phase)`` by what the values are."""
    numbers = [int(value) for value in args if isinstance(value, (int, np.integer))]
    for value in args:
        if isinstance(value, (str, Path)):
            weights = value
        elif isinstance(value, (list, tuple)):
            stages = value
    phase = numbers[0] if numbers else phase
    level = numbers[1] if len(numbers) > 1 else level
    if phase not in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        raise InputError(f"Net: the phase must be TRAIN or TEST, as in Net(FILE, TEST). Received: {phase}.")
    return phase, level, stages, weights


def read(
    network: str | Path | caffe_pb2.NetParameter | PlacedNet, variables: Mapping[str, str] | None, tolerant: bool
) -> PlacedNet:
    """The net that was given, with the places of its layers."""
    if isinstance(network, PlacedNet):
        return network
    if isinstance(network, caffe_pb2.NetParameter):
        return PlacedNet.upgraded(network)
    return read_net(network, variables, tolerant=tolerant)


def put(values: Any, blob: Blob, side: str, what: str) -> None:
    """Copy values into a blob; the batch sizes must agree, other axes may be of extent 1, as in NumPy."""
    array = np.asarray(values)
    target: np.ndarray[Any, Any] = getattr(blob, side)
    try:
        if array.shape[:1] != blob.shape[:1]:
            raise ValueError("batch size")
        target[...] = array
    except ValueError:
        raise InputError(
            f"{what} has shape {blob.shape}. Received: {array.shape}; reshape the blob first to change it."
        ) from None
