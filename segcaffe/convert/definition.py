"""The net that a file holds, be it a text configuration or weights, which hold their net beside the values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segcaffe.convert import formats
from segcaffe.errors import WeightsError
from segcaffe.proto.content import HDF5, NPZ, WEIGHTS, content_of
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import read_net
from segcaffe.snapshot.files import read_file

_SUFFIXES = (".npz", ".safetensors")


def read_definition(
    path: str | Path, variables: Mapping[str, str] | None = None, *, tolerant: bool = False
) -> PlacedNet:
    """Return the net of a prototxt, or that of a file of weights, without the values.

    Where ``tolerant``, options of a prototxt that are not known are passed over, and come with the net.
    WeightsError for weights that come with the names of layers alone: HDF5 files, and arrays of others.
    """
    if not holds_weights(path):
        return read_net(path, variables, tolerant=tolerant)
    net = formats.load(path)
    if not any(layer.type for layer in net.layer):
        raise WeightsError(
            f"{path}: holds the names and blobs of layers, but not their types and connections. Give the net's "
            "prototxt, or a .caffemodel."
        )
    for layer in net.layer:
        layer.ClearField("blobs")
    return PlacedNet.of(net)


def holds_weights(path: str | Path) -> bool:
    """Whether a file is one of weights, in any of the formats, rather than a prototxt."""
    return content_of(read_file(path)) in (WEIGHTS, HDF5, NPZ) or Path(path).suffix.lower() in _SUFFIXES
