"""Weights of a net in a file: binary (.caffemodel) or HDF5 (.caffemodel.h5)."""

from __future__ import annotations

from pathlib import Path

from segcaffe.blob.proto import drop_empty_shape
from segcaffe.errors import WeightsError
from segcaffe.proto import dialect
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.upgrade import upgrade_net
from segcaffe.snapshot import hdf5
from segcaffe.snapshot.files import is_hdf5, read_file, write_file

HDF5_SUFFIXES = (".h5", ".hdf5")


def load_weights(path: str | Path, dialect_name: str | None = None) -> NetParameter:
    """Return the layers and blobs of a file of weights.

    The file's first bytes tell binary from HDF5. Old notations are upgraded; of an HDF5 file only names and blobs are
    known. ``dialect_name`` prescribes the dialect of a binary file, which is found out otherwise. WeightsError for a
    file that is missing, damaged or something else.
    """
    return load_with_dialect(path, dialect_name)[0]


def load_with_dialect(path: str | Path, dialect_name: str | None = None) -> tuple[NetParameter, str]:
    """Return what `load_weights` does, and the dialect of the file; that of HDF5, which has no options, is bvlc."""
    net, found = (hdf5.load_net(path), "bvlc") if is_hdf5(path) else _decode(path, dialect_name)
    if not net.layer:
        raise WeightsError(f"{path}: the file has no layers. It is cut short, or no file of weights; copy it again.")
    return net, found


def save_weights(net: NetParameter, path: str | Path, dialect_name: str = "bvlc") -> None:
    """Write a net with its blobs: HDF5 where the name ends in .h5 or .hdf5, otherwise binary in a dialect."""
    write_file(path, encode_weights(net, path, dialect_name))


def encode_weights(net: NetParameter, path: str | Path, dialect_name: str = "bvlc") -> bytes:
    """Return the bytes that `save_weights` writes."""
    for layer in net.layer:
        for blob in layer.blobs:
            drop_empty_shape(blob)
    as_hdf5 = Path(path).suffix.lower() in HDF5_SUFFIXES
    return hdf5.encode_net(net) if as_hdf5 else dialect.encode_net(net, dialect_name)


def weights_of(data: bytes, where: str, dialect_name: str | None = None) -> tuple[NetParameter, str]:
    """Return the net in a binary file's bytes and its dialect, as `load_with_dialect`; errors call it ``where``."""
    net, found = dialect.decode_net(data, dialect_name, where)
    return upgrade_net(net, where=where), found


def _decode(path: str | Path, dialect_name: str | None) -> tuple[NetParameter, str]:
    return weights_of(read_file(path), str(path), dialect_name)
